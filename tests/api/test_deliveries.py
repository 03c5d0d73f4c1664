"""What a release tells outside, over HTTP; and the commit that it is filed with."""

import pytest
from django.utils import timezone
from pytest_django import Settings

from releases.domain.release import Phase
from releases.models import Release
from tenants.roles import Role
from tests import factories
from tests.api.conftest import Call, Scene, assert_documented

SHA = "0123456789" * 4
RELEASE = {"model": "mead", "version": "1.3.0", "environment": "staging"}


def test_list_shows_each_phase_and_where_it_stands(call: Call, scene: Scene) -> None:
    factories.walk(
        scene.canary, [(Phase.PROMOTING, timezone.now(), "certified"), (Phase.SUCCEEDED, timezone.now(), "")]
    )
    first, second, third = scene.canary.deliveries.all()
    first.delivered_at, first.attempts = timezone.now(), 1
    second.gave_up_at, second.attempts, second.last_error = (
        timezone.now(),
        1,
        "https://ci.example answers 404",
    )
    third.attempts = 3
    for row in (first, second, third):
        row.save()
    answer = call("get", "releases/{canary}/deliveries/", Role.VIEWER)
    assert_documented("get", scene.path("releases/{canary}/deliveries/"), answer)
    shown = answer.json()["results"]
    assert [(one["sequence"], one["phase"], one["state"], one["attempts"]) for one in shown] == [
        (1, "canary", "delivered", 1),
        (2, "promoting", "gave_up", 1),
        (3, "succeeded", "waiting", 3),
    ]
    assert [one["next_attempt_at"] is None for one in shown] == [True, True, False]
    assert shown[1]["last_error"] == "https://ci.example answers 404"
    assert {one["channel"] for one in shown} == {"callback"}


def test_resend_makes_a_given_up_one_wait_again_and_is_audited(call: Call, scene: Scene) -> None:
    row = scene.delivery
    row.gave_up_at, row.attempts, row.last_error = timezone.now(), 1, "answers 404"
    row.save()
    answer = call("post", "releases/{canary}/deliveries/{delivery}/resend/", Role.OPERATOR, body={})
    assert (answer.status_code, answer.json()["state"], answer.json()["attempts"]) == (200, "waiting", 0)
    events = call("get", "audit/?action=delivery.resent").json()["results"]
    assert [(event["actor"], event["subject"]) for event in events] == [("operator-bot", scene.canary.pk)]
    assert events[0]["detail"]["channel"] == "callback"


def test_resend_of_a_heard_one_conflicts(call: Call, scene: Scene) -> None:
    scene.delivery.delivered_at = timezone.now()
    scene.delivery.save()
    answer = call("post", "releases/{canary}/deliveries/{delivery}/resend/", body={})
    assert (answer.status_code, answer.json()["code"]) == (409, "delivered_already")
    assert answer.json()["state"]["state"] == "delivered"


@pytest.mark.parametrize(
    "path",
    [
        "releases/{ended}/deliveries/{delivery}/resend/",
        "releases/{canary}/deliveries/9{delivery}/resend/",
        "releases/{canary}/deliveries/99999999999999999999999999/resend/",
    ],
)
def test_resend_of_what_the_release_has_not_is_not_found(call: Call, scene: Scene, path: str) -> None:
    assert call("post", path, body={}).status_code == 404


def test_resend_takes_no_content(call: Call, scene: Scene) -> None:
    answer = call("post", "releases/{canary}/deliveries/{delivery}/resend/", body={"reason": "x"})
    assert answer.status_code == 422


def test_filing_with_a_commit_shows_it_and_has_it_told(call: Call, settings: Settings) -> None:
    settings.GITHUB_TOKEN, settings.GITHUB_STATUS_REPOSITORIES = "t", "acme=acme/*"
    commit = {"repository": "acme/models", "sha": SHA}
    answer = call("post", "releases/", body={**RELEASE, "commit": commit}, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["commit"]) == (201, commit)
    told = call("get", f"releases/{answer.json()['id']}/deliveries/").json()["results"]
    assert [(one["channel"], one["state"]) for one in told] == [("commit_status", "waiting")]
    again = call("post", "releases/", body={**RELEASE, "commit": commit}, Idempotency_Key="k")
    assert (again.status_code, again.json()["id"]) == (200, answer.json()["id"])
    other = call("post", "releases/", body=RELEASE, Idempotency_Key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_filing_without_a_commit_says_so(call: Call) -> None:
    assert call("post", "releases/", body={**RELEASE, "commit": None}).json()["commit"] is None


@pytest.mark.parametrize("path", ["releases/", "releases/forecast/"])
@pytest.mark.parametrize(
    ("commit", "field"),
    [
        ({"repository": "acme/models", "sha": SHA}, "commit.repository"),
        ({"repository": "acme", "sha": SHA}, "commit.repository"),
        ({"repository": "acme/models", "sha": "main"}, "commit.sha"),
        ({"repository": "acme/models"}, "commit.sha"),
        ({"repository": "acme/models", "sha": SHA, "ref": "main"}, "commit.ref"),
        ("acme/models", "commit"),
    ],
)
def test_filing_with_a_commit_that_cannot_be_told_names_the_field(
    call: Call, path: str, commit: object, field: str
) -> None:
    before = Release.objects.count()
    answer = call("post", path, body={**RELEASE, "commit": commit})
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])
    assert Release.objects.count() == before
