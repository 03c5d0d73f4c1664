"""`manage.py callback_secret TENANT`: the key with which receivers check the signature of callbacks."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from releases.services.notifications import secret_of
from tenants import people


class Command(BaseCommand):
    """Print the key that signs a tenant's callbacks."""

    help = "Print the key that signs the callbacks of a tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        """TENANT."""
        parser.add_argument("tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        try:
            self.stdout.write(secret_of(people.tenant(options["tenant"])))
        except people.NotPossible as error:
            raise CommandError(str(error)) from error
