"""`manage.py create_token TENANT --name N --role ROLE [--expires-in 30d] [--json]`: prints a token once."""

import json
import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import tokens
from tenants.models import Tenant
from tenants.roles import Role

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LONGEST = timedelta(days=3_650)


def duration(text: str) -> timedelta:
    """ "30d", "12h", "90m": a whole number and its unit."""
    match = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text)
    span = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None
    if span is None or span > LONGEST:
        raise ArgumentTypeError(f"{text!r} is not a span such as 30d, 12h or 90m, of ten years at most")
    return span


class Command(BaseCommand):
    """Makes an API token."""

    help = "Make an API token of a tenant and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Tenant, name, role, and when it ends."""
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--name", required=True, help="what the token is called; at most 60 characters")
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])
        parser.add_argument("--expires-in", type=duration, help="30d, 12h, 90m; never unless told")
        parser.add_argument("--json", action="store_true", help="print name, role, expiry and token as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, print it."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']!r}.")
        name = options["name"].strip()
        if not 1 <= len(name) <= 60 or not name.isprintable():
            raise CommandError("The name has to be 1 to 60 printable characters.")
        at = timezone.now()
        expires_at = at + options["expires_in"] if options["expires_in"] else None
        try:
            token, text = tokens.create(
                tenant,
                name=name,
                role=Role(options["role"]),
                created_by="command line",
                at=at,
                expires_at=expires_at,
            )
        except tokens.TokenNameTaken as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            shown = {
                "tenant": tenant.slug,
                "name": token.name,
                "role": token.role,
                "expires_at": expires_at.isoformat() if expires_at else None,
                "token": text,
            }
            self.stdout.write(json.dumps(shown))
        else:
            self.stdout.write(text)
