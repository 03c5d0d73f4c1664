"""Releases over the API: their shape, filing once, ETags, waiting, filters, acts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.dateparse import parse_datetime

from releases.domain.release import Phase
from releases.models import IdempotencyKey, Release
from releases.services.commands import idempotency
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented, send
from tests.api.test_problems import assert_problem

FILED = {"model": "mead", "version": "1.3.0", "environment": "staging"}
KEYS = [
    *("id", "url", "model", "version", "environment", "requested_by", "requested_at", "phase", "reason"),
    *("row_version", "stable", "candidate", "split", "step", "digest", "commit", "plan", "approvals"),
    *("verdict", "forecast", "started_at", "finished_at", "_links"),
]
PLAN_KEYS = [
    *("steps", "shadow_seconds", "rules", "alpha", "beta", "promotion", "early_promotion"),
    *("on_inconclusive", "max_canary_seconds", "grace_seconds", "deadlines"),
]


def test_release_has_all_members_in_the_order_of_the_description(call: Call, scene: Scene) -> None:
    shown = call("get", "releases/{canary}/").json()
    assert list(shown) == KEYS
    assert list(shown["plan"]) == PLAN_KEYS
    assert list(shown["verdict"])[:3] == ["kind", "summary", "rules"]
    assert shown["url"] == f"http://127.0.0.1:8000{HERE}releases/{scene.canary.pk}/"
    assert shown["_links"]["evidence"] == shown["url"] + "evidence/"
    assert shown["_links"]["page"].startswith("http://127.0.0.1:8000/")
    assert (shown["model"], shown["version"], shown["environment"]) == ("wine", "1.1.0", "production")
    assert (shown["stable"], shown["candidate"]) == ("1.0.0", "1.1.0")
    assert shown["split"] == {"stable": 90, "candidate": 10}
    assert shown["finished_at"] is None


def test_release_times_are_rfc_3339_in_utc(call: Call, scene: Scene) -> None:
    text = call("get", "releases/{canary}/").json()["requested_at"]
    assert text.endswith("Z")
    assert parse_datetime(text) == scene.canary.requested_at


def test_release_before_the_first_verdict_has_one_of_kind_none(call: Call) -> None:
    verdict = call("get", "releases/{canary}/").json()["verdict"]
    assert (verdict["kind"], verdict["rules"]) == ("none", [])


def test_release_counts_only_approvals_for_its_plan_and_digest(call: Call, scene: Scene) -> None:
    waiting = scene.waiting
    zoe = factories.member(scene.cast.acme, "zoe", Role.APPROVER)
    factories.approval(waiting, scene.cast.ben, digest="sha256:" + "0" * 64)
    factories.approval(waiting, scene.cast.ada, plan_digest="0" * 64)
    factories.approval(waiting, zoe, by_identity=waiting.requested_by_identity)
    assert call("get", "releases/{waiting}/").json()["approvals"]["given"] == 0
    decisions = call("get", "releases/{waiting}/approvals/").json()["results"]
    assert [decision["counts"] for decision in decisions] == [False, False, False]


def test_release_in_a_canary_shows_the_approvals_of_its_own_gate(call: Call, scene: Scene) -> None:
    canary = scene.canary
    steps = [{"weight": 10, "approval": True}, {"weight": 50}]
    plan = scene.production.plan({"steps": steps})
    canary.plan, canary.plan_digest, canary.approvals_required = plan.to_json(), plan.digest, 3
    canary.save()
    factories.approval(canary, scene.cast.ben, gate=0)
    factories.approval(canary, scene.cast.ada, gate=1)
    assert call("get", "releases/{canary}/").json()["approvals"] == {
        "required": 1,
        "given": 1,
        "expires_at": None,
    }
    Release.objects.filter(pk=canary.pk).update(step=2)
    assert call("get", "releases/{canary}/").json()["approvals"]["required"] == 0


# ---- filing ----------------------------------------------------------------------------------------
def test_file_answers_201_with_its_address(call: Call) -> None:
    answer = call("post", "releases/", Role.REQUESTER, body=FILED)
    assert answer.status_code == 201
    shown = answer.json()
    assert answer.headers["Location"] == shown["url"]
    assert (shown["phase"], shown["requested_by"]) == ("validating", "requester-bot")


def test_file_same_key_and_body_answers_the_same_release(call: Call) -> None:
    first = call("post", "releases/", body=FILED, Idempotency_Key="run-1")
    reordered = dict(reversed(FILED.items()))
    second = call("post", "releases/", body=reordered, Idempotency_Key="run-1")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["Location"] == first.headers["Location"]


def test_file_same_key_and_another_body_is_refused(call: Call) -> None:
    call("post", "releases/", body=FILED, Idempotency_Key="run-1")
    answer = call("post", "releases/", body={**FILED, "note": "other"}, Idempotency_Key="run-1")
    assert_problem(answer, 422, "idempotency_key_reused")


def test_file_same_key_of_another_caller_is_another_key(call: Call) -> None:
    call("post", "releases/", Role.REQUESTER, body=FILED, Idempotency_Key="run-1")
    answer = call("post", "releases/", Role.OPERATOR, body=FILED, Idempotency_Key="run-1")
    assert_problem(answer, 409, "release_active")


def test_file_key_of_a_week_ago_may_be_used_for_something_new(call: Call, scene: Scene) -> None:
    filed = call("post", "releases/", body=FILED, Idempotency_Key="run-1").json()["id"]
    old = IdempotencyKey.objects.get()
    IdempotencyKey.objects.update(created_at=old.created_at - idempotency.KEPT)
    Release.objects.filter(pk=filed).update(phase=Phase.CANCELLED.value)
    answer = call("post", "releases/", body={**FILED, "note": "another"}, Idempotency_Key="run-1")
    assert answer.status_code == 201
    assert IdempotencyKey.objects.get().release_id == answer.json()["id"]
    at = IdempotencyKey.objects.get().created_at
    assert idempotency.forget(at + idempotency.KEPT - timedelta(seconds=1)) == 0
    assert idempotency.forget(at + idempotency.KEPT) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tin it"])
def test_file_bad_key_is_refused(call: Call, key: str) -> None:
    answer = call("post", "releases/", body=FILED, Idempotency_Key=key)
    assert_problem(answer, 422, "bad_idempotency_key")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keys", [["one"] * 4, ["a", "b", "c", "d"]], ids=["same key", "own keys"])
def test_file_many_at_once_make_one_release(transactional_db: None, keys: list[str]) -> None:
    scene = Scene()
    token = scene.tokens[Role.REQUESTER][1]
    together = threading.Barrier(len(keys))

    def file(key: str) -> tuple[int, Any]:
        together.wait()
        try:
            answer = send("post", HERE + "releases/", token, FILED, Idempotency_Key=key)
            return answer.status_code, answer.json().get("id")
        finally:
            connection.close()

    with ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(file, keys))
    again = [200] * 3 if len(set(keys)) == 1 else [409] * 3
    assert sorted(status for status, _ in answers) == sorted([201, *again])
    assert Release.objects.filter(version__version="1.3.0").count() == 1
    assert len({release for status, release in answers if status < 300}) == 1


def test_file_onto_a_busy_endpoint_is_409_and_says_by_what(call: Call, scene: Scene) -> None:
    factories.version(scene.wine, "1.2.0")
    body = {"model": "wine", "version": "1.2.0", "environment": "production"}
    problem = assert_problem(call("post", "releases/", body=body), 409, "release_active")
    assert problem["state"]["release"] == scene.canary.pk
    assert problem["state"]["phase"] == "canary"


def test_file_bad_plan_names_the_field(call: Call) -> None:
    body = {**FILED, "plan": {"steps": [{"weight": 101}], "alpha": 2, "alfa": 1}}
    problem = assert_problem(call("post", "releases/", body=body), 422, "bad_plan")
    assert "plan.alfa" in problem["errors"]
    body["plan"] = {"steps": [{"weight": 101}], "alpha": 2}
    problem = assert_problem(call("post", "releases/", body=body), 422, "bad_plan")
    assert set(problem["errors"]) == {"plan.steps.0.weight", "plan.alpha"}


def test_file_what_does_not_exist_is_named_per_field(call: Call) -> None:
    body = {"model": "beer", "version": "1.0.0", "environment": "mars"}
    problem = assert_problem(call("post", "releases/", body=body), 422, "invalid")
    assert set(problem["errors"]) == {"model", "environment"}


def test_file_keeps_the_given_part_of_the_plan_over_the_defaults(call: Call, scene: Scene) -> None:
    scene.staging.default_plan = {"alpha": 0.05, "steps": []}
    scene.staging.save()
    plan = call("post", "releases/", body={**FILED, "plan": {"beta": 0.1}}).json()["plan"]
    assert (plan["alpha"], plan["beta"], plan["steps"]) == (0.05, 0.1, [])


# ---- reading ---------------------------------------------------------------------------------------
def test_etag_unchanged_release_is_304_without_a_body(call: Call) -> None:
    first = call("get", "releases/{canary}/")
    again = call("get", "releases/{canary}/", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


@pytest.mark.parametrize("change", [{"reason": "step 1 of 1: 42 s left"}, {"row_version": 2}])
def test_etag_changed_release_is_answered_anew(call: Call, scene: Scene, change: dict[str, Any]) -> None:
    first = call("get", "releases/{canary}/")
    Release.objects.filter(pk=scene.canary.pk).update(**change)
    again = call("get", "releases/{canary}/", If_None_Match=first.headers["ETag"])
    assert again.status_code == 200
    assert again.headers["ETag"] != first.headers["ETag"]


def test_etag_new_approval_changes_it(call: Call, scene: Scene) -> None:
    first = call("get", "releases/{waiting}/").headers["ETag"]
    factories.approval(scene.waiting, scene.cast.ben)
    assert call("get", "releases/{waiting}/").headers["ETag"] != first


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["ended", "waiting", "paused", "canary"]),
        ("?model=wine", ["paused", "canary"]),
        ("?environment=production", ["ended", "waiting", "canary"]),
        ("?phase=rolled_back", ["ended"]),
        ("?active=true", ["waiting", "paused", "canary"]),
        ("?active=false", ["ended"]),
        ("?model=wine&environment=staging&phase=&active=true", ["paused"]),
        ("?model=beer", []),
    ],
)
def test_list_filters_newest_first(call: Call, scene: Scene, query: str, expected: list[str]) -> None:
    answer = call("get", "releases/" + query)
    assert [shown["id"] for shown in answer.json()["results"]] == [
        getattr(scene, name).pk for name in expected
    ]
    assert_documented("get", HERE + "releases/", answer)


@pytest.mark.parametrize(
    ("query", "field"),
    [("?phase=flying", "phase"), ("?active=yes", "active"), ("?modl=wine", "modl"), ("?model=%00", "model")],
)
def test_list_filter_that_makes_no_sense_is_422(call: Call, query: str, field: str) -> None:
    assert list(assert_problem(call("get", "releases/" + query), 422, "invalid")["errors"]) == [field]


def test_list_of_200_takes_as_many_queries_as_a_list_of_one(call: Call, scene: Scene) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            answer = call("get", "releases/?limit=200&active=false")
        assert answer.status_code == 200
        return len(seen)

    call("get", "releases/")  # the token's last use has been noted
    few = queries()
    for number in range(199):
        ended = factories.release(scene.at_mead, scene.ended.version, Phase.ROLLED_BACK)
        if number % 10 == 0:
            factories.approval(ended, scene.cast.ben)
    assert queries() == few
    assert len(call("get", "releases/?limit=200&active=false").json()["results"]) == 200


# ---- acting ----------------------------------------------------------------------------------------
def test_act_with_an_outdated_row_version_is_409_with_the_present_one(call: Call, scene: Scene) -> None:
    body = {"reason": "looks odd", "row_version": scene.canary.row_version + 1}
    problem = assert_problem(call("post", "releases/{canary}/pause/", body=body), 409, "row_version")
    assert problem["state"] == {"phase": "canary", "row_version": scene.canary.row_version}


def test_act_that_means_nothing_in_the_phase_is_409(call: Call) -> None:
    answer = call("post", "releases/{ended}/pause/", body={"reason": "late"})
    assert assert_problem(answer, 409, "not_possible_now")["state"]["phase"] == "rolled_back"


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": None}, {"reason": "x" * 4_001}]
)
def test_act_without_a_proper_reason_is_422(call: Call, body: dict[str, Any]) -> None:
    problem = assert_problem(call("post", "releases/{canary}/abort/", body=body), 422, "invalid")
    assert list(problem["errors"]) == ["reason"]


def test_act_is_written_down_for_the_reconciler(call: Call, scene: Scene) -> None:
    shown = call("post", "releases/{canary}/abort/", Role.OPERATOR, body={"reason": "bad feeling"}).json()
    scene.canary.refresh_from_db()
    assert (scene.canary.intent, scene.canary.intent_reason) == ("abort", "bad feeling")
    assert shown["row_version"] == 2


def test_requester_withdraws_own_release_before_traffic_and_no_other(call: Call) -> None:
    filed = call("post", "releases/", Role.REQUESTER, body=FILED).json()["id"]
    body = {"reason": "wrong version"}
    assert call("post", f"releases/{filed}/abort/", Role.REQUESTER, body=body).status_code == 200
    assert_problem(call("post", "releases/{canary}/abort/", Role.REQUESTER, body=body), 403, "forbidden")


def test_approve_own_release_is_refused(call: Call) -> None:
    filed = call("post", "releases/", Role.ADMINISTRATOR, body=FILED).json()["id"]
    assert_problem(
        call("post", f"releases/{filed}/approve/", Role.ADMINISTRATOR, body={}), 403, "own_release"
    )


def test_approve_is_counted_at_once(call: Call) -> None:
    shown = call("post", "releases/{waiting}/approve/", Role.APPROVER, body={"comment": "fine"}).json()
    assert shown["approvals"] == {"required": 1, "given": 1, "expires_at": None}


def test_expiry_of_the_gate_is_shown(call: Call, scene: Scene) -> None:
    end = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=90)
    Release.objects.filter(pk=scene.waiting.pk).update(approvals_expire_at=end)
    assert call("get", "releases/{waiting}/").json()["approvals"]["expires_at"] == "2030-01-01T00:01:30Z"
