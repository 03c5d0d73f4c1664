"""An empty PostgreSQL and Redis for a benchmark. Django is set up once they are there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django

from tests import engines


@contextmanager
def database() -> Iterator[None]:
    """Engines of our own with all tables, gone at the end."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    engines.announce()
    try:
        engines.start()
        os.environ["DJANGO_SETTINGS_MODULE"] = "mlops_portal.settings"
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield
    finally:
        engines.stop()
