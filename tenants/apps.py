"""The tenants app: who may do what. Knows nothing of releases."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, members, tokens, audit."""

    name = "tenants"
