"""Real engines for every test that touches the database, Redis or Celery."""

import os

import django
import pytest

from tests import engines
from tests.mlflow_server import mlflow_server, wines

__all__ = ["mlflow_server", "wines"]  # fixtures for the whole suite


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before Django reads its settings: say where the engines will be."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None:
        engines.announce()
    else:
        engines.use_own_redis_database(worker)
    # Here and not in pyproject.toml: pytest-django would read the settings before this hook.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_portal.settings")
    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        engines.stop()


@pytest.fixture(scope="session")
def real_engines() -> None:
    """PostgreSQL and Redis are running (DATABASE_URL and REDIS_URL tell where)."""
    engines.start()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    real_engines: None, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """pytest-django asks for this before it creates the test database."""
