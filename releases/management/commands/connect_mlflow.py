"""`manage.py connect_mlflow`: have MLflow tell of new versions, tags and aliases by itself.

Repeatable: run it again after a change of the address or of the secret. Without it versions are found all the
same, by polling.
"""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from releases.adapters import factory
from releases.ports import AdapterError, RegistryWebhook

NAME = "mlops-portal"


class Command(BaseCommand):
    """Register the portal's webhook in MLflow."""

    help = "Register, update, test or remove the portal's webhook in MLflow."
    requires_system_checks = ()  # run at every start of the stack, where they would take seconds

    def add_arguments(self, parser: CommandParser) -> None:
        """--url, --name, --test, --remove."""
        parser.add_argument("--url", default="", help="where MLflow reaches the portal, if not at PORTAL_URL")
        parser.add_argument("--name", default=NAME, help="what MLflow calls the webhook; one per portal")
        does = parser.add_mutually_exclusive_group()
        does.add_argument("--test", action="store_true", help="register, then have MLflow send an example")
        does.add_argument("--remove", action="store_true", help="remove it instead")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what was done."""
        name, webhooks = options["name"], factory.registry_webhooks()
        try:
            if options["remove"]:
                self.stdout.write(f"removed {name}" if webhooks.remove(name) else f"there was no {name}")
                return
            self.stdout.write(webhooks.connect(_wanted(name, options["url"])))
            if options["test"]:
                self.stdout.write(webhooks.test(name))
        except AdapterError as error:
            raise CommandError(str(error)) from error


def _wanted(name: str, given: str) -> RegistryWebhook:
    if not settings.MLFLOW_WEBHOOK_SECRET:
        raise CommandError(
            "Set MLFLOW_WEBHOOK_SECRET first, for the web process too: messages are checked with it."
        )
    base = (given or settings.PORTAL_URL).rstrip("/")
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
        raise CommandError(f"{base!r} is no address: begin it with https:// or http://.")
    return RegistryWebhook(name, base + reverse("api:mlflow-webhook"), settings.MLFLOW_WEBHOOK_SECRET)
