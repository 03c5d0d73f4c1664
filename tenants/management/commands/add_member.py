"""`manage.py add_member TENANT USERNAME --role ROLE`: a person gets a role; unknown persons are created."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from tenants import people
from tenants.roles import Role


class Command(BaseCommand):
    """Give a person a role in a tenant."""

    help = "Give a person a role in a tenant; a person who is unknown is created with a password."

    def add_arguments(self, parser: CommandParser) -> None:
        """TENANT, USERNAME, --role."""
        parser.add_argument("tenant")
        parser.add_argument("username")
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])

    def handle(self, *args: Any, **options: Any) -> None:
        """Add, and print a new person's password, once."""
        try:
            added = people.add_member(
                people.tenant(options["tenant"]),
                options["username"],
                Role(options["role"]),
                by="command line",
                at=timezone.now(),
            )
        except people.NotPossible as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{added.membership}.")
        if added.password:
            self.stdout.write(f"Password of {options['username']}, shown only now: {added.password}")
