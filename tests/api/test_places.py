"""Environments and endpoints over the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from releases.models import Hold
from tenants.models import AuditEvent
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented, send
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


# ---- on Kubernetes -------------------------------------------------------------------------------
CONNECTION = {
    "cluster": "main",
    "namespace": "acme-lab",
    "gateway_url": "https://models.example.com",
    "artifacts": "s3://models/acme",
    "artifacts_secret": "models-s3",
    "models_secret": "beside-models",
}


@pytest.fixture
def lab(scene: Scene, settings: Any) -> str:
    """An environment in which nothing serves yet, and two clusters."""
    settings.KUBERNETES_CLUSTERS = {"main": "/secret/kubeconfig", "edge": "in-cluster"}
    return f"environments/{factories.environment(scene.cast.acme, 'lab', position=5).name}/"


def test_environment_on_this_machine_has_no_cluster_and_nothing_that_scales(call: Call) -> None:
    shown = call("get", "environments/production/").json()
    assert (shown["kubernetes"], shown["autoscaling"], shown["network"]) == (None, None, None)


def test_environment_is_connected_scaled_and_protected_in_one_change(call: Call, lab: str) -> None:
    body = {
        "kubernetes": CONNECTION,
        "autoscaling": {"default": {"max_replicas": 5}, "models": {"wine": {"cpu_percent": None}}},
        "network": {"policy": {"models_port": 8000}, "callers": {"namespaces": ["shop"]}},
    }
    answer = call("patch", lab, body=body)
    assert_documented("patch", HERE + lab, answer)
    shown = answer.json()
    assert (shown["target"], shown["gateway"]) == ("seldon", "https://models.example.com")
    assert shown["kubernetes"].items() >= {**CONNECTION, "cpu_request": "500m", "drift": []}.items()
    scaling = shown["autoscaling"]
    assert (scaling["default"]["max_replicas"], scaling["default"]["cpu_percent"]) == (5, 70)
    assert scaling["models"]["wine"]["max_replicas"] == 5  # begins with what it had inherited
    assert scaling["models"]["wine"]["cpu_percent"] is None
    assert shown["network"]["policy"]["models_port"] == 8000
    assert shown["network"]["callers"]["namespaces"] == ["shop"]
    listed = call("get", "environments/")
    assert_documented("get", HERE + "environments/", listed)
    assert listed.json()["results"][-1] == shown


def test_environment_change_lays_a_subset_over_what_is_there(call: Call, lab: str) -> None:
    call("patch", lab, body={"kubernetes": CONNECTION, "network": {"policy": {"dns": "app=dns"}}})
    shown = call("patch", lab, body={"kubernetes": {"cpu_limit": "4"}, "network": {"policy": {}}}).json()
    assert shown["kubernetes"].items() >= {**CONNECTION, "cpu_limit": "4"}.items()
    assert shown["network"]["policy"]["dns"] == "app=dns"
    body: dict[str, Any] = {
        "network": {"policy": None},
        "autoscaling": {"default": None, "models": {"wine": None}},
    }
    shown = call("patch", lab, body=body).json()
    assert shown["network"]["policy"] is None
    assert shown["autoscaling"]["models"] == {}
    shown = call("patch", lab, body={"kubernetes": None}).json()
    assert (shown["target"], shown["kubernetes"], shown["autoscaling"]) == ("local", None, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kubernetes": {**CONNECTION, "cluster": "mars"}}, "kubernetes.cluster"),
        ({"kubernetes": {**CONNECTION, "namespace": "Acme"}}, "kubernetes.namespace"),
        ({"kubernetes": {**CONNECTION, "cpu_limit": "1m"}}, "kubernetes.cpu_limit"),
        ({"kubernetes": {**CONNECTION, "token": "x"}}, "kubernetes.token"),
        ({"kubernetes": {**CONNECTION, "start_seconds": "long"}}, "kubernetes.start_seconds"),
        (
            {"kubernetes": CONNECTION, "autoscaling": {"default": {"max_replicas": 1}}},
            "autoscaling.default.max_replicas",
        ),
        ({"kubernetes": CONNECTION, "autoscaling": {"models": {"rum": {}}}}, "autoscaling.models.rum"),
        (
            {"kubernetes": CONNECTION, "autoscaling": {"models": {"wine": {"min_replicas": 0}}}},
            "autoscaling.models.wine.min_replicas",
        ),
        ({"kubernetes": CONNECTION, "network": {"policy": {"dns": "dns"}}}, "network.policy.dns"),
        (
            {"kubernetes": CONNECTION, "network": {"callers": {"issuer": "https://id.example.com"}}},
            "network.callers.jwks_uri",
        ),
        ({"kubernetes": CONNECTION, "approvals_required": -1}, "approvals_required"),
    ],
)
def test_environment_bad_part_is_named_and_nothing_of_the_change_is_done(
    call: Call, lab: str, body: dict[str, Any], field: str
) -> None:
    before = call("get", lab).json()
    answer = call("patch", lab, body=body)
    problem = assert_problem(answer, 422, answer.json()["code"])
    assert list(problem["errors"]) == [field]
    assert "/secret" not in answer.text
    assert call("get", lab).json() == before
    assert not AuditEvent.objects.filter(subject="lab").exists()


def test_environment_first_connection_names_what_is_missing(call: Call, lab: str) -> None:
    problem = call("patch", lab, body={"kubernetes": {"cluster": "main"}}).json()
    assert set(problem["errors"]) == {
        *("kubernetes.namespace", "kubernetes.gateway_url"),
        *("kubernetes.artifacts", "kubernetes.artifacts_secret"),
    }


def test_environment_in_which_something_serves_stays_where_it_is(call: Call, lab: str) -> None:
    answer = call("patch", "environments/production/", body={"kubernetes": CONNECTION})
    assert_problem(answer, 409, "conflict")
    assert call("get", "environments/production/").json()["target"] == "local"


def test_environment_that_does_not_scale_refuses_a_policy(call: Call) -> None:
    for body in ({"autoscaling": {"default": {}}}, {"network": {"policy": {}}}):
        assert_problem(call("patch", "environments/production/", body=body), 409, "conflict")


def test_environment_of_another_tenant_is_404_for_every_part_of_a_change(scene: Scene, lab: str) -> None:
    answer = send("patch", HERE + lab, scene.stranger[1], {"kubernetes": CONNECTION})
    assert_problem(answer, 404, "not_found")


def test_environment_keeps_the_namespace_of_another_tenant_to_itself(
    call: Call, scene: Scene, lab: str
) -> None:
    theirs = factories.environment(scene.cast.globex, "secret-lab")
    factories.kubernetes(theirs, namespace=CONNECTION["namespace"])
    answer = call("patch", lab, body={"kubernetes": CONNECTION})
    assert list(assert_problem(answer, 422, "invalid")["errors"]) == ["kubernetes.namespace"]
    assert "globex" not in answer.text
    assert "secret-lab" not in answer.text
