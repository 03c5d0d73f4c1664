"""A tenant that can be worked in: its first administrator and the environments that everybody begins with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from releases.services.commands import add_environment
from tenants import people
from tenants.access import enter
from tenants.models import Tenant
from tenants.roles import Role

# Staging is for trying out: no canary, nobody is asked. Production takes only what has succeeded there.
ENVIRONMENTS: dict[str, Mapping[str, Any]] = {
    "staging": {"approvals_required": 0, "default_plan": {"steps": []}},
    "production": {"approvals_required": 1, "requires_success_in": "staging"},
}


def open_tenant(
    slug: str, *, name: str, administrator: str, by: str, at: datetime, first_name: str = ""
) -> tuple[Tenant, people.Added]:
    """Create the tenant with `administrator` and the standard environments; raises `NotPossible`."""
    with transaction.atomic():
        tenant = people.create_tenant(slug, name=name, by=by, at=at)
        added = people.add_member(
            tenant, administrator, Role.ADMINISTRATOR, by=by, at=at, first_name=first_name
        )
        actor = enter(slug, user=added.membership.user)
        for position, (environment, policy) in enumerate(ENVIRONMENTS.items()):
            add_environment(actor, name=environment, position=position, changes=policy, at=at)
    return tenant, added
