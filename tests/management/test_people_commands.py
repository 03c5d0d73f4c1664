"""The commands about tenants, members and callbacks, as somebody at a terminal meets them."""

import re
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from releases.models import Environment
from releases.services.notifications import secret_of
from tenants import traffic_keys
from tenants.models import Membership, Tenant, User

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def password_in(output: str) -> str:
    found = re.search(r": (\S{16})$", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def test_create_tenant_has_an_administrator_and_two_environments() -> None:
    output = run("create_tenant", "acme", "--name", "Acme", "--admin", "ada")

    assert User.objects.get(username="ada").check_password(password_in(output))
    assert Membership.objects.get(tenant__slug="acme").role == "administrator"
    staging, production = Environment.objects.filter(tenant__slug="acme")
    assert (staging.name, staging.approvals_required, staging.plan().steps) == ("staging", 0, ())
    assert (production.name, production.approvals_required) == ("production", 1)
    assert production.requires_success_in == staging
    assert [step.weight for step in production.plan().steps] == [10]


def test_create_tenant_twice_is_refused_and_changes_nothing() -> None:
    run("create_tenant", "acme", "--admin", "ada")

    with pytest.raises(CommandError, match="already exists"):
        run("create_tenant", "acme", "--admin", "mallory")
    assert Membership.objects.count() == User.objects.count() == 1


def test_add_member_prints_the_password_of_a_new_person_only() -> None:
    run("create_tenant", "acme", "--admin", "ada")

    first = run("add_member", "acme", "ben", "--role", "approver")
    again = run("add_member", "acme", "ben", "--role", "viewer")

    assert User.objects.get(username="ben").check_password(password_in(first))
    assert "Password" not in again
    assert Membership.objects.get(user__username="ben").role == "viewer"


def test_add_member_to_an_unknown_tenant_is_refused() -> None:
    with pytest.raises(CommandError, match="no tenant 'acme'"):
        run("add_member", "acme", "ben", "--role", "viewer")
    assert not User.objects.exists()


def test_callback_secret_is_the_key_that_signs() -> None:
    run("create_tenant", "acme", "--admin", "ada")

    assert run("callback_secret", "acme").strip() == secret_of(Tenant.objects.get())


def test_traffic_key_prints_the_newest_living_key_and_no_other() -> None:
    run("create_tenant", "acme", "--admin", "ada")
    run("create_tenant", "globex", "--admin", "mallory")
    first = run("traffic_key", "acme").strip()
    acme = Tenant.objects.get(slug="acme")
    traffic_keys.make(acme, by="ada", at=timezone.now())

    second = run("traffic_key", "acme").strip()

    assert traffic_keys.keys_of(["acme"])["acme"] == (second, first)
    assert run("traffic_key", "globex").strip() not in (first, second)


def test_traffic_key_of_an_unknown_tenant_is_refused() -> None:
    with pytest.raises(CommandError, match="no tenant 'nowhere'"):
        run("traffic_key", "nowhere")
