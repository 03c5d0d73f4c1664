"""API tokens: shown once, found by hash, ended for good; and the command that makes them."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tenants import tokens
from tenants.models import ApiToken, AuditEvent
from tenants.roles import Role
from tests import factories

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def test_create_keeps_only_the_hash() -> None:
    row, text = factories.token(factories.tenant("acme"))
    stored = {str(value) for value in ApiToken.objects.filter(pk=row.pk).values()[0].values()}
    assert text not in stored
    assert row.hash == hashlib.sha256(text.encode()).hexdigest()
    assert text.startswith(row.prefix)
    assert len(text) - len(row.prefix) > 30  # what is shown in lists is no help in guessing the rest


def test_create_name_taken_by_a_living_token_is_refused() -> None:
    acme = factories.tenant("acme")
    first, _ = factories.token(acme, name="ci")
    with pytest.raises(tokens.TokenNameTaken, match="ci"):
        factories.token(acme, name="ci")
    tokens.revoke(first, by="ada", at=NOW)
    again, _ = factories.token(acme, name="ci")
    assert again.pk != first.pk


def test_create_the_same_name_in_another_tenant_is_fine() -> None:
    factories.token(factories.tenant("acme"), name="ci")
    row, _ = factories.token(factories.tenant("globex"), name="ci")
    assert row.tenant.slug == "globex"


def test_find_living_token_notes_its_use_once_a_minute() -> None:
    row, text = factories.token(factories.tenant("acme"))
    for seconds, noted in ((0, 0), (59, 0), (61, 61)):
        found = tokens.find(text, at=NOW + timedelta(seconds=seconds))
        assert found == row
        row.refresh_from_db()
        assert row.last_used_at == NOW + timedelta(seconds=noted)


def test_find_token_ends_at_its_expiry() -> None:
    row, text = factories.token(factories.tenant("acme"), expires_at=NOW)
    assert tokens.find(text, at=NOW - timedelta(seconds=1)) == row
    assert tokens.find(text, at=NOW) is None


def test_find_revoked_token_is_not_found() -> None:
    row, text = factories.token(factories.tenant("acme"))
    tokens.revoke(row, by="ada", at=NOW)
    assert tokens.find(text, at=NOW) is None


@pytest.mark.parametrize("text", ["", "mlp_", "mlp_unknown", "Bearer", "mlp_" + "x" * 10_000, "mlp_\x00"])
def test_find_what_is_no_token_is_not_found(text: str) -> None:
    factories.token(factories.tenant("acme"))
    assert tokens.find(text, at=NOW) is None


def test_revoke_twice_is_recorded_once() -> None:
    row, _ = factories.token(factories.tenant("acme"))
    tokens.revoke(row, by="ada", at=NOW)
    tokens.revoke(row, by="ben", at=NOW + timedelta(hours=1))
    row.refresh_from_db()
    assert row.revoked_at == NOW
    assert [event.actor for event in AuditEvent.objects.filter(action="token.revoked")] == ["ada"]


def test_audit_of_a_token_never_holds_its_text() -> None:
    row, text = factories.token(factories.tenant("acme"))
    event = AuditEvent.objects.get(action="token.created")
    assert event.subject == row.name
    assert text not in json.dumps(event.detail)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("create_token", *arguments, stdout=out)
    return out.getvalue()


def test_command_prints_a_token_that_works() -> None:
    factories.tenant("acme")
    text = run("acme", "--name", "ci-wine", "--role", "requester").strip()
    found = tokens.find(text, at=datetime.now(UTC))
    assert found is not None
    assert (found.tenant.slug, found.name, found.role, found.expires_at) == (
        "acme",
        "ci-wine",
        Role.REQUESTER,
        None,
    )


def test_command_json_says_all_of_it() -> None:
    factories.tenant("acme")
    before = datetime.now(UTC)
    shown = json.loads(run("acme", "--name", "ci", "--role", "viewer", "--expires-in", "30d", "--json"))
    assert list(shown) == ["tenant", "name", "role", "expires_at", "token"]
    left = datetime.fromisoformat(shown["expires_at"]) - before
    assert timedelta(days=30) <= left < timedelta(days=30, minutes=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nobody", "--name", "ci", "--role", "viewer"],
        ["acme", "--name", "ci", "--role", "king"],
        ["acme", "--name", " ", "--role", "viewer"],
        ["acme", "--name", "x" * 61, "--role", "viewer"],
        ["acme", "--name", "ci", "--role", "viewer", "--expires-in", "soon"],
        ["acme", "--name", "ci", "--role", "viewer", "--expires-in", "0d"],
        ["acme", "--name", "ci", "--role", "viewer", "--expires-in", "999999999w"],
    ],
)
def test_command_what_makes_no_sense_is_refused_and_makes_nothing(arguments: list[str]) -> None:
    factories.tenant("acme")
    with pytest.raises(CommandError):
        run(*arguments)
    assert not ApiToken.objects.exists()
