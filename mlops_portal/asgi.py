"""The ASGI entry point that uvicorn serves: files first, everything else is Django's."""

import os
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from servestatic import ServeStaticASGI

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_portal.settings")


def with_files(application: Any) -> ServeStaticASGI:
    """The application behind all static files where they lie, without collecting them first.

    Not as a middleware of Django's: one that is asynchronous costs every test client's request an event loop,
    one that is not holds a thread for every request that waits."""
    served = ServeStaticASGI(application, add_headers_function=_add_headers)
    for finder in get_finders():
        for path, storage in finder.list(None):
            below = f"{storage.prefix}/" if getattr(storage, "prefix", "") else ""
            url = f"{settings.STATIC_URL}{below}{path}"
            if url not in served.files:  # the first finder wins, as in Django
                served.add_file_to_dictionary(url, storage.path(path))
    return served


def _add_headers(headers: Any, path: str, url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"


application = with_files(get_asgi_application())

if not settings.SECRET_KEY_IS_SET:
    raise ImproperlyConfigured(
        "PORTAL_SECRET_KEY is empty: set it, or start the embedded stack (`make run`), which makes one."
    )
