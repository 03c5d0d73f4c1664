"""The WSGI entry point that gunicorn serves."""

import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_portal.settings")
application = get_wsgi_application()

if not settings.SECRET_KEY_IS_SET:
    raise ImproperlyConfigured(
        "PORTAL_SECRET_KEY is empty: set it, or start the embedded stack (`make run`), which makes one."
    )
