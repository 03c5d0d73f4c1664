"""Registers the project's system checks."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The project itself as an app: its checks run with `manage.py check`."""

    name = "mlops_portal"

    def ready(self) -> None:
        """Import the checks, which register themselves."""
        from mlops_portal import checks  # noqa: F401
