"""The ASGI entry point that uvicorn serves."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_portal.settings")
application = get_asgi_application()

if not settings.SECRET_KEY_IS_SET:
    raise ImproperlyConfigured(
        "PORTAL_SECRET_KEY is empty: set it, or start the embedded stack (`make run`), which makes one."
    )
