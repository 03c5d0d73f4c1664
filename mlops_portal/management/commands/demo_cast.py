"""`manage.py demo_cast`: the tenants, people, environments, model and token that the demo relies on.

What is there is kept. Passwords and the token are made once and written to `var/demo.json`; whoever of
the cast has no valid one there (a new person, a lost file) gets a new one.
"""

import json
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from releases.models import RegisteredModel
from releases.services.commands import add_model
from releases.services.new_tenants import open_tenant
from tenants import people, tokens
from tenants.access import enter
from tenants.credentials import made_up_password, write_private
from tenants.models import ApiToken, Tenant, User
from tenants.roles import Role

BY = "demo"
ADMINISTRATORS = {"acme": "ada", "globex": "mallory"}
MEMBERS = {"ben": Role.APPROVER, "cleo": Role.VIEWER}
TENANT, MODEL, TOKEN = "acme", "wine", "ci-wine"


class Command(BaseCommand):
    """Make the demo's cast."""

    help = "Create the demo's cast, where it is missing, and write its log-ins to var/demo.json."
    requires_system_checks = ()  # they would import every page, which takes seconds

    def handle(self, *args: Any, **options: Any) -> None:
        """All or nothing; repeatable."""
        path = settings.VAR / "demo.json"
        try:
            known = json.loads(path.read_text()) if path.exists() else {}
        except ValueError as error:
            raise CommandError(
                f"{path} is damaged: {error}. Delete it to have new passwords made."
            ) from error
        at = timezone.now()
        try:
            with transaction.atomic():
                self._people(at)
                told = {
                    "portal": settings.PORTAL_URL,
                    "gateway": settings.GATEWAY_URL,
                    "mlflow": settings.MLFLOW_TRACKING_URI,
                    "tenant": TENANT,
                    "users": {
                        name: password_of(name, known.get("users", {}).get(name))
                        for name in (*ADMINISTRATORS.values(), *MEMBERS)
                    },
                    "tokens": {TOKEN: token_text(known.get("tokens", {}).get(TOKEN), at)},
                }
                write_private(path, json.dumps(told, indent=2) + "\n")
        except people.NotPossible as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The cast is there; log-ins and token are in {path}.")

    def _people(self, at: datetime) -> None:
        for slug, username in ADMINISTRATORS.items():
            if not Tenant.objects.filter(slug=slug).exists():
                open_tenant(
                    slug,
                    name=slug.capitalize(),
                    administrator=username,
                    first_name=username.capitalize(),
                    by=BY,
                    at=at,
                )
            people.add_member(
                people.tenant(slug),
                username,
                Role.ADMINISTRATOR,
                by=BY,
                at=at,
                first_name=username.capitalize(),
            )
        acme = people.tenant(TENANT)
        for username, role in MEMBERS.items():
            people.add_member(acme, username, role, by=BY, at=at, first_name=username.capitalize())
        if not RegisteredModel.objects.filter(tenant=acme, name=MODEL).exists():
            ada = enter(TENANT, user=User.objects.get(username=ADMINISTRATORS[TENANT]))
            add_model(ada, name=MODEL, description="Which of three cultivars a wine is of.", at=at)


def password_of(username: str, known: str | None) -> str:
    """The password of the file if it is the right one, else a new one."""
    user = User.objects.get(username=username)
    if known and user.check_password(known):
        return known
    password = made_up_password()
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def token_text(known: str | None, at: datetime) -> str:
    """The token of the file if it lives, else a new one in place of the old."""
    if known and tokens.find(known, at=at):
        return known
    tenant = people.tenant(TENANT)
    for token in ApiToken.objects.filter(tenant=tenant, name=TOKEN, revoked_at__isnull=True):
        tokens.revoke(token, by=BY, at=at)
    _, text = tokens.create(tenant, name=TOKEN, role=Role.REQUESTER, created_by=BY, at=at)
    return text
