"""Real engines for every test that touches the database, Redis or Celery."""

import os

import django
import pytest
from hypothesis import HealthCheck, settings

from tests import engines
from tests.feature_store import feature_store
from tests.mlflow_server import mlflow_server, wines

__all__ = ["feature_store", "mlflow_server", "wines"]  # fixtures for the whole suite
pytest.register_assert_rewrite("tests.adapters.target_contract")  # tests that other modules import


# At the import of this file: the settings have to be there before a conftest below it is imported, and
# not in pyproject.toml, where pytest-django would read them before anybody has said where the engines are.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is None:
    engines.announce()
else:
    engines.use_own_redis_database(worker)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_portal.settings")
django.setup()

# How long an example takes to make says more about the machine than about the code.
settings.register_profile("portal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("portal")


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
