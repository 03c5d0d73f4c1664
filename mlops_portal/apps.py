"""Registers the project's system checks, and the Celery application for whoever sends a message."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The project itself as an app: its checks run with `manage.py check`."""

    name = "mlops_portal"

    def ready(self) -> None:
        """Import the checks, which register themselves; and the application, for all threads."""
        from mlops_portal import checks  # noqa: F401
        from mlops_portal.celery import app

        app.set_default()
