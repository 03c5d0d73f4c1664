"""`manage.py create_tenant SLUG --name NAME --admin USERNAME`: a tenant with its first administrator."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from releases.services.new_tenants import open_tenant
from tenants.people import NotPossible


class Command(BaseCommand):
    """Create a tenant."""

    help = "Create a tenant with an administrator and the environments staging and production."

    def add_arguments(self, parser: CommandParser) -> None:
        """SLUG, --name, --admin."""
        parser.add_argument("slug")
        parser.add_argument("--name", default="", help="what pages call it; by default the slug")
        parser.add_argument("--admin", required=True, metavar="USERNAME")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create, and print a new administrator's password, once."""
        try:
            tenant, added = open_tenant(
                options["slug"],
                name=options["name"],
                administrator=options["admin"],
                by="command line",
                at=timezone.now(),
            )
        except NotPossible as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{tenant.slug}: {added.membership}; environments staging and production.")
        if added.password:
            self.stdout.write(f"Password of {options['admin']}, shown only now: {added.password}")
