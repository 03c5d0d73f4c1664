"""The releases app: models, versions, rollouts."""

from django.apps import AppConfig


class ReleasesConfig(AppConfig):
    """Everything about releasing."""

    name = "releases"
