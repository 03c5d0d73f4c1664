"""Environments and endpoints over the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from releases.models import Hold
from tenants.models import AuditEvent
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented
from tests.api.test_problems import assert_problem

ENDPOINT_KEYS = [
    *("environment", "model", "stable", "previous", "candidate", "split", "url", "headers", "hold"),
    "baseline",
]


def test_environments_come_in_the_order_of_release(call: Call) -> None:
    rows = call("get", "environments/").json()["results"]
    assert [row["name"] for row in rows] == ["staging", "production"]
    assert rows[1]["requires_success_in"] == "staging"
    assert rows[1]["default_plan"]["steps"] == [{"weight": 10, "hold_seconds": 300, "approval": False}]


def test_environment_change_touches_only_what_is_named(call: Call) -> None:
    before = call("get", "environments/production/").json()
    after = call("patch", "environments/production/", body={"approvals_required": 3}).json()
    assert after == {**before, "approvals_required": 3}
    assert AuditEvent.objects.get(action="environment.changed").detail == {"approvals_required": 3}


def test_environment_default_plan_is_laid_over_the_portals_own(call: Call) -> None:
    body = {"default_plan": {"steps": [{"weight": 5}, {"weight": 50}]}, "requires_success_in": None}
    after = call("patch", "environments/production/", body=body).json()
    assert [step["weight"] for step in after["default_plan"]["steps"]] == [5, 50]
    assert after["default_plan"]["alpha"] == 0.01
    assert after["requires_success_in"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"approvals_required": -1}, "approvals_required"),
        ({"approvals_required": "many"}, "approvals_required"),
        ({"approval_ttl_seconds": 1}, "approval_ttl_seconds"),
        ({"metric_tolerance": 2}, "metric_tolerance"),
        ({"requires_success_in": "mars"}, "requires_success_in"),
        ({"requires_success_in": "production"}, "requires_success_in"),
        ({"default_plan": {"alpha": 5}}, "default_plan.alpha"),
        ({"name": "new"}, "name"),
        ({"target": "kubernetes"}, "target"),
    ],
)
def test_environment_bad_change_is_named_and_changes_nothing(
    call: Call, body: dict[str, Any], field: str
) -> None:
    before = call("get", "environments/production/").json()
    answer = call("patch", "environments/production/", body=body)
    problem = assert_problem(answer, 422, answer.json()["code"])
    assert list(problem["errors"]) == [field]
    assert call("get", "environments/production/").json() == before


def test_endpoint_during_a_canary_shows_both_versions_and_the_split(call: Call) -> None:
    answer = call("get", "endpoints/production/wine/")
    shown = answer.json()
    assert list(shown) == ENDPOINT_KEYS
    assert (shown["stable"], shown["candidate"]) == ("1.0.0", "1.1.0")
    assert shown["split"] == {"stable": 90, "candidate": 10}
    assert shown["url"] == "http://127.0.0.1:8080/acme/production/v2/models/wine"
    assert_documented("get", HERE + "endpoints/production/wine/", answer)


def test_endpoint_with_a_baseline_shows_traffic_errors_and_the_self_test(call: Call, scene: Scene) -> None:
    bursts = {
        **{"at": 0.0, "pairs": 30, "phi_errors": 2.4, "phi_latency": None, "evidence": 1e12},
        **{"warns": True, "sentence": "stable's errors come in bursts"},
    }
    factories.baseline(scene.at_mead, 48, 0.0025, self_test=bursts)
    for path in ("endpoints/production/mead/", "endpoints/"):
        answer = call("get", path)
        assert_documented("get", HERE + path, answer)
    shown = call("get", "endpoints/production/mead/").json()["baseline"]
    assert shown.pop("at").endswith("Z")
    assert shown.pop("self_test") == {
        **{"pairs": 30, "phi_errors": 2.4, "phi_latency": None, "evidence": 1e12},
        **{"warns": True, "sentence": "stable's errors come in bursts"},
    }
    assert shown == {
        **{"seconds": 600.0, "requests_per_second": 48.0, "error_rate": 70 / 28_800},
        **{"requests": 28_800, "errors": 70},
    }


def test_endpoint_without_a_recent_reading_has_no_baseline(call: Call, scene: Scene) -> None:
    assert call("get", "endpoints/production/mead/").json()["baseline"] is None
    factories.baseline(scene.at_mead, at=timezone.now() - timedelta(minutes=6))
    assert call("get", "endpoints/production/mead/").json()["baseline"] is None


def test_endpoint_at_rest_has_no_candidate_and_shows_its_hold(call: Call, scene: Scene) -> None:
    answer = call("get", "endpoints/production/mead/")
    shown = answer.json()
    assert (shown["stable"], shown["previous"], shown["candidate"]) == ("1.1.0", "1.0.0", None)
    assert shown["split"] == {"stable": 100, "candidate": 0}
    assert (shown["hold"]["version"], shown["hold"]["release"]) == ("1.2.0", scene.ended.pk)
    assert_documented("get", HERE + "endpoints/production/mead/", answer)


def test_endpoint_never_released_to_is_404(call: Call) -> None:
    assert_problem(call("get", "endpoints/staging/mead/"), 404, "not_found")


def test_rollback_files_a_release_of_the_previous_version(call: Call, scene: Scene) -> None:
    body = {"reason": "customers complain"}
    answer = call("post", "endpoints/production/mead/rollback/", Role.OPERATOR, body=body)
    shown = answer.json()
    assert answer.headers["Location"] == shown["url"]
    assert (shown["version"], shown["stable"], shown["phase"]) == ("1.0.0", "1.1.0", "deploying")
    again = call("post", "endpoints/production/mead/rollback/", Role.OPERATOR, body=body)
    assert_problem(again, 409, "release_active")


def test_hold_is_lifted_with_its_reason(call: Call, scene: Scene) -> None:
    body = {"reason": "the data was wrong, not the model"}
    shown = call("delete", "endpoints/production/mead/hold/", Role.OPERATOR, body=body).json()
    assert shown["hold"] is None
    held = Hold.objects.get(pk=scene.hold.pk)
    assert (held.lifted_by, held.lift_reason) == ("operator-bot", body["reason"])
    again = call("delete", "endpoints/production/mead/hold/", Role.OPERATOR, body=body)
    assert again.status_code in (404, 409)


def test_endpoints_of_another_tenant_are_not_listed(call: Call, scene: Scene) -> None:
    theirs = factories.model(scene.cast.globex, "secret")
    factories.endpoint(factories.environment(scene.cast.globex), theirs)
    rows = call("get", "endpoints/").json()["results"]
    assert {(row["environment"], row["model"]) for row in rows} == {
        ("production", "wine"),
        ("staging", "wine"),
        ("production", "cider"),
        ("production", "mead"),
    }
