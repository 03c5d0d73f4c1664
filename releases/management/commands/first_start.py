"""`manage.py first_start`: when there is nobody yet, an administrator and a tenant to begin with.

Run at every start of the stack. The log-in is printed once; because a line in a terminal is easily
missed, it is also in a file that only the owner of the state folder may read.
"""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connection, transaction
from django.utils import timezone

from releases.services.new_tenants import open_tenant
from tenants.credentials import write_private
from tenants.models import User

USERNAME, TENANT = "admin", "main"
FILE = "first-login.txt"


class Command(BaseCommand):
    """Make the first administrator."""

    help = "When there is no user at all: create an administrator and the tenant main."
    # What was set wrong is told here; Django's own checks would import every page, which takes seconds.
    requires_system_checks = ("settings",)

    def handle(self, *args: Any, **options: Any) -> None:
        """Create and print the log-in; says nothing when there is somebody."""
        path = settings.VAR / FILE
        with transaction.atomic():
            with connection.cursor() as cursor:  # two starts at once make one administrator
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext('first start'))")
            if User.objects.exists():
                return
            _, added = open_tenant(
                TENANT, name="Main", administrator=USERNAME, by="first start", at=timezone.now()
            )
            told = f"First log-in: name {USERNAME}, password {added.password}"
            # Before the commit: an administrator without a password that anybody knows is worse than
            # a file about an administrator who was not made.
            write_private(path, f"{told}\nat {settings.PORTAL_URL}/\n")
        self.stdout.write(told)
        self.stdout.write(f"Shown only now; it is also in {path}, delete that when you have noted it.")
