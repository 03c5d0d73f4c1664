"""The pages of environments: where each is, what it lacks, who may, its policy."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from releases.models import Environment, KubernetesPlace
from tenants import audit
from tests import factories
from tests.web.conftest import ENVIRONMENTS, NETWORK, SCALING, Login, Scene
from tests.web.reading import error_at, text


# ---- looking -------------------------------------------------------------------------------------
def test_it_lists_environments_in_the_order_of_release_with_where_they_are(
    login: Login, place: KubernetesPlace
) -> None:
    page = text(login("cleo").get(ENVIRONMENTS))
    assert page.index("staging") < page.index("production")
    assert "this machine" in page
    assert "acme-production" in page
    assert "1 approval, after success in staging" in page
    assert "Add an environment" not in page


def test_it_tells_drift_first_and_what_was_repaired(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    place.drift, place.looked_at = ["the NetworkPolicy portal-models is gone"], timezone.now()
    place.save()
    audit.record(
        scene.cast.acme,
        at=timezone.now() - timedelta(minutes=5),
        actor="portal",
        action="environment.repaired",
        subject="production",
        detail={"found": ["the AuthorizationPolicy was changed"]},
    )
    page = text(login("cleo").get(f"{ENVIRONMENTS}production/"))
    assert "The NetworkPolicy portal-models is gone." in page
    assert "The AuthorizationPolicy was changed." in page
    assert "Drifted" in page
    assert "portal-models is gone" in text(login("cleo").get(ENVIRONMENTS))


def test_it_shows_a_local_environment_with_its_engines_and_no_form_that_does_nothing(
    scene: Scene, login: Login
) -> None:
    answer = login("ada").get(f"{ENVIRONMENTS}production/")
    page = text(answer)
    assert "Nothing scales there and no network policy applies" in page
    assert "Metric source healthy" in page
    assert "Autoscaling" not in page
    for path in (SCALING, NETWORK, f"{ENVIRONMENTS}production/disconnect/"):
        assert login("ada").get(path)["Location"] == f"{ENVIRONMENTS}production/"


def test_it_shows_findings_with_their_age_and_never_a_path(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    now = timezone.now()
    place.findings = [{"name": "rights", "is_good": False, "said": "may not list pods in acme-production"}]
    place.examined_at, place.examine_asked_at = now - timedelta(minutes=3), now - timedelta(minutes=4)
    place.save()
    answer = login("ada").get(f"{ENVIRONMENTS}production/")
    page = text(answer)
    assert "may not list pods in acme-production" in page
    assert "tested 3 min" in page
    assert "Not connected" in page
    assert "hx-trigger" not in answer.content.decode()
    assert "/secret" not in answer.content.decode()
    assert "/secret" not in login("ada").get(f"{ENVIRONMENTS}production/connection/").content.decode()


def test_it_asks_the_workers_to_test_and_looks_every_two_seconds_until_they_have(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    assert ada.post(f"{ENVIRONMENTS}production/test/")["Location"] == f"{ENVIRONMENTS}production/"
    place.refresh_from_db()
    assert place.examine_asked_at is not None
    answer = ada.get(f"{ENVIRONMENTS}production/")
    assert 'hx-trigger="every 2s"' in answer.content.decode()
    KubernetesPlace.objects.update(examine_asked_at=timezone.now() - timedelta(minutes=1))
    assert "Do the workers run?" in text(ada.get(f"{ENVIRONMENTS}production/"))
    KubernetesPlace.objects.update(examined_at=timezone.now())
    assert "hx-trigger" not in ada.get(f"{ENVIRONMENTS}production/").content.decode()


# ---- who may -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["policy/", "connection/", "disconnect/", "autoscaling/", "network/", "test/"]
)
def test_it_lets_only_administrators_change_an_environment(
    login: Login, place: KubernetesPlace, path: str
) -> None:
    ben = login("ben")
    assert ben.post(f"{ENVIRONMENTS}production/{path}", {"do": "apply"}).status_code == 403
    if path != "test/":
        assert ben.get(f"{ENVIRONMENTS}production/{path}").status_code == 403
    assert ben.get("/t/acme/add-environment/").status_code == 403


def test_it_takes_no_test_of_a_connection_from_a_stranger(login: Login, place: KubernetesPlace) -> None:
    assert login("mallory").post(f"{ENVIRONMENTS}production/test/").status_code == 404
    place.refresh_from_db()
    assert place.examine_asked_at is None


# ---- policy, and a new one -----------------------------------------------------------------------
def test_it_changes_the_policy_and_keeps_what_the_form_does_not_show(scene: Scene, login: Login) -> None:
    scene.production.default_plan = {"grace_seconds": 7, "steps": [{"weight": 10}]}
    scene.production.save()
    ada = login("ada")
    path = f"{ENVIRONMENTS}production/policy/"
    page = ada.get(path)
    sent = {
        **{"steps": "2", "weight-0": "5", "hold-0": "60", "weight-1": "50", "hold-1": "60"},
        **{"approvals_required": "2", "approval_ttl_seconds": "3600", "tolerance": "1.5"},
        **{"requires_success_in": "staging", "promotion": "no_harm", "on_inconclusive": "wait"},
        **{"error_rate_max": "2", "max_canary": "900", "shadow": "0", "compare_errors": "on"},
    }
    assert "Save the policy" in text(page)
    more = ada.post(path, {**sent, "do": "add"})
    assert 'name="weight-2"' in more.content.decode()
    assert ada.post(path, {**sent, "do": "save"})["Location"] == f"{ENVIRONMENTS}production/"
    scene.production.refresh_from_db()
    plan = scene.production.plan()
    assert [step.weight for step in plan.steps] == [5, 50]
    assert (plan.grace_seconds, plan.rules.error_rate_max, plan.rules.compare_latency) == (7, 0.02, False)
    assert (scene.production.approvals_required, scene.production.metric_tolerance) == (2, 0.015)


def test_it_says_at_the_field_what_is_wrong_with_a_policy(scene: Scene, login: Login) -> None:
    sent = {
        **{"steps": "1", "weight-0": "500", "hold-0": "60", "promotion": "certified", "error_rate_max": "1"},
        **{"approvals_required": "many", "approval_ttl_seconds": "1", "tolerance": "200", "do": "save"},
        **{"on_inconclusive": "wait"},
    }
    ada = login("ada")
    answer = ada.post(f"{ENVIRONMENTS}production/policy/", sent)
    assert answer.status_code == 422
    assert 'id="weight-0" name="weight-0" value="500"' in answer.content.decode()
    assert "has to be from 1 to 100" in text(answer)
    answer = ada.post(f"{ENVIRONMENTS}production/policy/", {**sent, "weight-0": "5"})
    assert "from 0 to 20" in error_at(answer, "approvals")
    assert "from 60" in error_at(answer, "ttl")
    assert "from 0 to 100 %" in error_at(answer, "tolerance")
    scene.production.refresh_from_db()
    assert scene.production.approvals_required == 1


def test_it_adds_an_environment_after_the_others(scene: Scene, login: Login) -> None:
    sent = {"name": "lab", "position": "2", "approvals_required": "0", "requires_success_in": "staging"}
    answer = login("ada").post("/t/acme/add-environment/", sent)
    assert answer["Location"] == f"{ENVIRONMENTS}lab/"
    added = Environment.objects.get(name="lab")
    assert (added.position, added.requires_success_in) == (2, scene.staging)


@pytest.mark.parametrize(
    ("name", "status", "said"), [("Lab 1", 422, ""), ("production", 409, "There is an environment")]
)
def test_it_says_what_is_wrong_with_a_new_environment(
    login: Login, scene: Scene, name: str, status: int, said: str
) -> None:
    answer = login("ada").post("/t/acme/add-environment/", {"name": name, "approvals_required": "0"})
    assert answer.status_code == status
    assert said in text(answer)
    assert bool(error_at(answer, "name")) is (status == 422)


def test_it_works_without_a_cluster_of_the_portals(scene: Scene, login: Login, settings: Any) -> None:
    settings.KUBERNETES_CLUSTERS = {}
    factories.environment(scene.cast.acme, "lab", position=7)
    client: Client = login("ada")
    assert "No cluster is set up for the portal" in text(client.get(f"{ENVIRONMENTS}lab/"))
    assert "No cluster is set up" in text(client.get(f"{ENVIRONMENTS}lab/connection/"))
