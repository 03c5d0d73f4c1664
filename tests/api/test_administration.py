"""Audit and tokens over the API."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from tenants import audit
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented, send
from tests.api.test_problems import assert_problem

START = factories.moment("2026-11-23 03:07:00")


@pytest.fixture
def recorded(scene: Scene) -> None:
    """Three events that no other test writes."""
    for second, (actor, action) in enumerate([("ada", "x.made"), ("ben", "x.made"), ("ada", "x.ended")]):
        audit.record(
            scene.cast.acme,
            at=START + timedelta(days=900, seconds=second),
            actor=actor,
            action=action,
            subject="x",
        )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?action=x.made", [("ben", "x.made"), ("ada", "x.made")]),
        ("?actor=ada&action=x.ended", [("ada", "x.ended")]),
        ("?after=2029-05-11T03:07:00Z", [("ada", "x.ended"), ("ben", "x.made")]),
        ("?action=x.nothing", []),
    ],
)
def test_audit_filters_newest_first(
    call: Call, recorded: None, query: str, expected: list[tuple[str, str]]
) -> None:
    answer = call("get", "audit/" + query)
    assert [(row["actor"], row["action"]) for row in answer.json()["results"]] == expected
    assert_documented("get", HERE + "audit/", answer)


def test_audit_of_another_tenant_is_not_shown(call: Call, scene: Scene) -> None:
    audit.record(scene.cast.globex, at=START, actor="mallory", action="x.secret", subject="x")
    assert call("get", "audit/?action=x.secret").json()["results"] == []


def test_token_is_shown_once_and_works(call: Call) -> None:
    answer = call("post", "tokens/", body={"name": "ci-wine", "role": "requester"})
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.json()["token"]
    assert send("get", HERE + "models/", text).status_code == 200
    listed = call("get", "tokens/")
    row = next(row for row in listed.json()["results"] if row["name"] == "ci-wine")
    assert "token" not in row
    assert text.encode() not in listed.content
    assert row["last_used_at"] is not None


def test_token_revoked_is_refused_at_once_and_stays_listed(call: Call) -> None:
    made = call("post", "tokens/", body={"name": "ci-wine", "role": "requester"}).json()
    assert call("delete", f"tokens/{made['id']}/").status_code == 204
    assert send("get", HERE + "models/", made["token"]).status_code == 401
    rows = call("get", "tokens/").json()["results"]
    assert next(row for row in rows if row["name"] == "ci-wine")["revoked_at"] is not None


def test_token_name_taken_is_409(call: Call) -> None:
    problem = assert_problem(
        call("post", "tokens/", body={"name": "spare", "role": "viewer"}), 409, "token_name_taken"
    )
    assert problem["state"] == {"name": "spare"}


def test_token_expires_when_it_was_told(call: Call) -> None:
    end = timezone.now() + timedelta(hours=1)
    body = {"name": "short", "role": "viewer", "expires_at": end.isoformat()}
    shown = call("post", "tokens/", body=body).json()
    assert datetime.fromisoformat(shown["expires_at"]) == end


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "king"}, "role"),
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "x" * 61, "role": "viewer"}, "name"),
        ({"name": "a\nb", "role": "viewer"}, "name"),
        ({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": 5}, "expires_at"),
        ({"name": "x", "role": "viewer", "tenant": "globex"}, "tenant"),
    ],
)
def test_token_bad_content_is_named(call: Call, body: dict[str, object], field: str) -> None:
    assert list(assert_problem(call("post", "tokens/", body=body), 422, "invalid")["errors"]) == [field]


@pytest.mark.parametrize("number", ["0", "999999999", "9" * 40])
def test_token_unknown_is_404(call: Call, number: str) -> None:
    assert_problem(call("delete", f"tokens/{number}/"), 404, "not_found")


def test_token_of_another_tenant_cannot_be_revoked(call: Call, scene: Scene) -> None:
    theirs, text = scene.stranger
    assert_problem(call("delete", f"tokens/{theirs.pk}/"), 404, "not_found")
    assert send("get", "/api/v1/tenants/globex/models/", text).status_code == 200


def test_token_of_a_viewer_cannot_make_a_stronger_one(call: Call) -> None:
    body = {"name": "more", "role": "administrator"}
    assert_problem(call("post", "tokens/", Role.VIEWER, body=body), 403, "not_allowed")
