"""The demo's cast: complete after one run, the same after two."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from releases.models import Environment, RegisteredModel
from tenants import tokens
from tenants.models import ApiToken, AuditEvent, Membership, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(settings: Settings, tmp_path: Path) -> Path:
    settings.VAR = tmp_path
    return tmp_path / "demo.json"


def run(file: Path) -> dict[str, Any]:
    call_command("demo_cast", stdout=StringIO())
    return dict(json.loads(file.read_text()))


def test_demo_cast_has_the_promised_people_with_working_passwords(file: Path) -> None:
    told = run(file)

    roles = {m.user.username: (m.tenant.slug, m.role) for m in Membership.objects.all()}
    assert roles == {
        "ada": ("acme", "administrator"),
        "ben": ("acme", "approver"),
        "cleo": ("acme", "viewer"),
        "mallory": ("globex", "administrator"),
    }
    for name, password in told["users"].items():
        assert User.objects.get(username=name).check_password(password)
    assert User.objects.get(username="ada").display_name == "Ada"


def test_demo_cast_has_environments_model_and_token(file: Path) -> None:
    told = run(file)

    acme = Environment.objects.filter(tenant__slug="acme")
    assert {e.name: e.approvals_required for e in acme} == {"staging": 0, "production": 1}
    assert RegisteredModel.objects.get().name == "wine"
    token = tokens.find(told["tokens"]["ci-wine"], at=timezone.now())
    assert token is not None
    assert (token.name, token.role, token.tenant.slug) == ("ci-wine", "requester", "acme")


def test_demo_cast_file_is_private_and_names_the_addresses(file: Path, settings: Settings) -> None:
    told = run(file)

    assert file.stat().st_mode & 0o777 == 0o600
    assert (told["portal"], told["gateway"]) == (settings.PORTAL_URL, settings.GATEWAY_URL)
    assert (told["mlflow"], told["tenant"]) == (settings.MLFLOW_TRACKING_URI, "acme")


def test_demo_cast_twice_keeps_everything(file: Path) -> None:
    first = run(file)
    events = AuditEvent.objects.count()

    assert run(file) == first
    assert AuditEvent.objects.count() == events


def test_demo_cast_without_its_file_makes_new_log_ins(file: Path) -> None:
    first = run(file)
    file.unlink()

    second = run(file)

    assert not set(first["users"].values()) & set(second["users"].values())
    assert User.objects.get(username="ben").check_password(second["users"]["ben"])
    assert tokens.find(first["tokens"]["ci-wine"], at=timezone.now()) is None
    assert ApiToken.objects.filter(revoked_at__isnull=True).count() == 1


def test_demo_cast_with_a_damaged_file_says_what_to_do(file: Path) -> None:
    file.write_text("{")

    with pytest.raises(CommandError, match="Delete it"):
        run(file)
    assert not User.objects.exists()
