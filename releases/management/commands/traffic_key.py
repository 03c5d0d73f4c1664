"""`manage.py traffic_key TENANT`: the key with which a tenant's callers come in at the local gateway."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants import people, traffic_keys


class Command(BaseCommand):
    """Print the newest living traffic key of a tenant."""

    help = "Print the key that callers of a tenant send in the header x-api-key."

    def add_arguments(self, parser: CommandParser) -> None:
        """TENANT."""
        parser.add_argument("tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        try:
            slug = people.tenant(options["tenant"]).slug
        except people.NotPossible as error:
            raise CommandError(str(error)) from error
        keys = traffic_keys.keys_of([slug])[slug]
        if not keys:
            raise CommandError(f"{slug} has no traffic key; an administrator makes one on the page Traffic.")
        self.stdout.write(keys[0])
