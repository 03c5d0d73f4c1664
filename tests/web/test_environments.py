"""The pages of environments: where each is, what it lacks, and its forms beside the manifests."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from releases.domain.autoscaling import Autoscaling
from releases.models import AutoscalingPolicy, Environment, KubernetesPlace
from releases.services import commands
from tenants import audit
from tenants.models import AuditEvent
from tests import factories
from tests.web.conftest import Login, Scene

HERE = "/t/acme/environments/"
SCALING = f"{HERE}production/autoscaling/"
NETWORK = f"{HERE}production/network/"
CONNECTION = {
    **{"cluster": "main", "namespace": "acme-lab", "gateway_url": "https://models.example.com"},
    **{"istio_gateway": "istio-system/seldon-gateway", "artifacts": "s3://models/acme"},
    **{"artifacts_secret": "models-s3", "cpu_request": "500m", "memory_request": "1Gi"},
    **{"start_seconds": "600", "metrics_from": "executor"},
}


@pytest.fixture
def place(scene: Scene, settings: Any) -> KubernetesPlace:
    """Production is on Kubernetes; wine, cider and mead serve there."""
    settings.KUBERNETES_CLUSTERS = {"main": "/secret/kubeconfig", "edge": "in-cluster"}
    return factories.kubernetes(scene.production)


@pytest.fixture
def lab(scene: Scene, settings: Any) -> Environment:
    """An environment in which nothing serves yet."""
    settings.KUBERNETES_CLUSTERS = {"main": "/secret/kubeconfig", "edge": "in-cluster"}
    return factories.environment(scene.cast.acme, "lab", position=7)


def text(answer: Any) -> str:
    """What a page says, without its markup."""
    plain = html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode()))
    return re.sub(r"\s+", " ", plain.replace("\N{NO-BREAK SPACE}", " "))


def form_of(answer: Any) -> dict[str, str]:
    """The inputs of the page's form, as a browser would send them."""
    content = answer.content.decode()
    body = content[content.rindex('<form method="post"') :]
    found = dict(re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)"', body))
    found |= dict(re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>([^<]*)<', body))
    found |= dict.fromkeys(re.findall(r'<input type="checkbox" name="([^"]+)" checked', body), "on")
    return {name: html.unescape(value) for name, value in found.items() if name != "csrfmiddlewaretoken"}


def error_at(answer: Any, name: str) -> str:
    """The message at an input."""
    found = re.search(rf'id="e-{name}">(.*?)</p>', answer.content.decode(), re.S)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""


# ---- looking -------------------------------------------------------------------------------------
def test_it_lists_environments_in_the_order_of_release_with_where_they_are(
    login: Login, place: KubernetesPlace
) -> None:
    page = text(login("cleo").get(HERE))
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
    page = text(login("cleo").get(f"{HERE}production/"))
    assert "The NetworkPolicy portal-models is gone." in page
    assert "The AuthorizationPolicy was changed." in page
    assert "Drifted" in page
    assert "portal-models is gone" in text(login("cleo").get(HERE))


def test_it_shows_a_local_environment_with_its_engines_and_no_form_that_does_nothing(
    scene: Scene, login: Login
) -> None:
    answer = login("ada").get(f"{HERE}production/")
    page = text(answer)
    assert "Nothing scales there and no network policy applies" in page
    assert "Metric source healthy" in page
    assert "Autoscaling" not in page
    for path in (SCALING, NETWORK, f"{HERE}production/disconnect/"):
        assert login("ada").get(path)["Location"] == f"{HERE}production/"


def test_it_shows_findings_with_their_age_and_never_a_path(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    now = timezone.now()
    place.findings = [{"name": "rights", "is_good": False, "said": "may not list pods in acme-production"}]
    place.examined_at, place.examine_asked_at = now - timedelta(minutes=3), now - timedelta(minutes=4)
    place.save()
    answer = login("ada").get(f"{HERE}production/")
    page = text(answer)
    assert "may not list pods in acme-production" in page
    assert "tested 3 min" in page
    assert "Not connected" in page
    assert "hx-trigger" not in answer.content.decode()
    assert "/secret" not in answer.content.decode()
    assert "/secret" not in login("ada").get(f"{HERE}production/connection/").content.decode()


def test_it_asks_the_workers_to_test_and_looks_every_two_seconds_until_they_have(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    assert ada.post(f"{HERE}production/test/")["Location"] == f"{HERE}production/"
    place.refresh_from_db()
    assert place.examine_asked_at is not None
    answer = ada.get(f"{HERE}production/")
    assert 'hx-trigger="every 2s"' in answer.content.decode()
    KubernetesPlace.objects.update(examine_asked_at=timezone.now() - timedelta(minutes=1))
    assert "Do the workers run?" in text(ada.get(f"{HERE}production/"))
    KubernetesPlace.objects.update(examined_at=timezone.now())
    assert "hx-trigger" not in ada.get(f"{HERE}production/").content.decode()


# ---- who may -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", ["policy/", "connection/", "disconnect/", "autoscaling/", "network/", "test/"]
)
def test_it_lets_only_administrators_change_an_environment(
    login: Login, place: KubernetesPlace, path: str
) -> None:
    ben = login("ben")
    assert ben.post(f"{HERE}production/{path}", {"do": "apply"}).status_code == 403
    if path != "test/":
        assert ben.get(f"{HERE}production/{path}").status_code == 403
    assert ben.get("/t/acme/add-environment/").status_code == 403


def test_it_takes_no_test_of_a_connection_from_a_stranger(login: Login, place: KubernetesPlace) -> None:
    assert login("mallory").post(f"{HERE}production/test/").status_code == 404
    place.refresh_from_db()
    assert place.examine_asked_at is None


# ---- connection ----------------------------------------------------------------------------------
def test_it_connects_an_environment_and_has_it_tested(login: Login, lab: Environment) -> None:
    ada = login("ada")
    assert "Connect it to a cluster" in text(ada.get(f"{HERE}lab/"))
    answer = ada.post(f"{HERE}lab/connection/", CONNECTION, follow=True)
    assert "The workers test the connection now." in text(answer)
    assert "Being tested" in text(answer)
    assert KubernetesPlace.objects.get().namespace == "acme-lab"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("namespace", "Acme Lab", "lower-case letters"),
        ("gateway_url", "models.example.com", "https://"),
        ("cpu_limit", "1m", "at least the 500m"),
        ("cpu_request", "", "as Kubernetes writes it"),
        ("start_seconds", "soon", "has to be a whole number"),
        ("start_seconds", "", "has to be a number"),
        ("start_seconds", "9" * 5_000, "has to be a whole number"),
        ("cluster", "mars", "there is no such cluster"),
        ("metrics_from", "prometheus-istio", ""),
        ("artifacts", "s3://models/\x00", ""),
    ],
)
def test_it_says_at_the_field_what_is_wrong_with_a_connection(
    login: Login, lab: Environment, field: str, value: str, said: str
) -> None:
    answer = login("ada").post(f"{HERE}lab/connection/", {**CONNECTION, field: value})
    if field == "artifacts":  # NUL characters are left out, as in every form
        assert answer.status_code == 302
        return
    assert answer.status_code == 422
    at = "prometheus_url" if field == "metrics_from" else field
    assert said in error_at(answer, at)
    assert error_at(answer, at)
    assert not KubernetesPlace.objects.exists()


def test_it_keeps_the_namespace_of_another_tenant_to_itself(
    scene: Scene, login: Login, lab: Environment
) -> None:
    factories.kubernetes(factories.environment(scene.cast.globex, "secret-lab"), namespace="acme-lab")
    answer = login("ada").post(f"{HERE}lab/connection/", CONNECTION)
    assert "another environment" in error_at(answer, "namespace")
    assert "globex" not in answer.content.decode().lower()
    assert "secret-lab" not in answer.content.decode()


def test_it_does_not_move_an_environment_in_which_something_serves(
    login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    path = f"{HERE}production/connection/"
    assert "stay as they are, because something serves here" in text(ada.get(path))
    answer = ada.post(path, {**CONNECTION, "namespace": "elsewhere"})
    assert answer.status_code == 409
    assert "production cannot move" in text(answer)
    assert ada.post(f"{HERE}production/disconnect/").status_code == 409


def test_it_disconnects_an_empty_environment_after_a_question(login: Login, lab: Environment) -> None:
    factories.kubernetes(lab)
    ada = login("ada")
    assert "Disconnect lab from main?" in text(ada.get(f"{HERE}lab/disconnect/"))
    assert ada.post(f"{HERE}lab/disconnect/")["Location"] == f"{HERE}lab/"
    lab.refresh_from_db()
    assert lab.target == "local"


# ---- autoscaling ---------------------------------------------------------------------------------
def test_it_shows_the_autoscaler_of_what_serves_beside_the_form(login: Login, place: KubernetesPlace) -> None:
    page = text(login("ada").get(f"{SCALING}?model=wine"))
    assert "name: portal-wine-v1-0-0" in page
    assert "name: portal-wine-v1-1-0" in page  # the one that is being released
    assert "scaleTargetRef" in page
    assert "stabilizationWindowSeconds: 300" in page


def test_it_previews_reviews_and_applies_a_change_of_autoscaling(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    typed = {**form_of(ada.get(SCALING)), "max_replicas": "30"}
    preview = ada.post(SCALING, {**typed, "do": "preview"})
    assert 'class="add" data-mark="+">  maxReplicas: 30' in preview.content.decode()
    assert not AutoscalingPolicy.objects.exists()
    review = ada.post(SCALING, {**typed, "do": "review"})
    assert "Change how models scale in production?" in text(review)
    assert "horizontalpodautoscaler/portal-cider-v1-0-0 in acme-production" in text(review)
    assert not AutoscalingPolicy.objects.exists()
    answer = ada.post(SCALING, {**form_of(review), "do": "apply"}, follow=True)
    assert "The workers apply it within seconds" in text(answer)
    assert AutoscalingPolicy.objects.get(model=None).value() == Autoscaling(max_replicas=30)


def test_it_leaves_models_with_a_policy_of_their_own_out_of_a_change_for_all(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = scene.cast.actor(scene.cast.ada)
    commands.set_autoscaling(ada, "production", "cider", Autoscaling(max_replicas=7), at=timezone.now())
    typed = {**form_of(login("ada").get(SCALING)), "max_replicas": "30", "do": "review"}
    review = text(login("ada").post(SCALING, typed))
    assert "portal-mead-v1-1-0" in review
    assert "portal-cider" not in review


def test_it_shows_an_example_where_every_model_has_a_policy_of_its_own(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = scene.cast.actor(scene.cast.ada)
    for name in ("cider", "mead", "wine"):
        commands.set_autoscaling(ada, "production", name, Autoscaling(max_replicas=7), at=timezone.now())
    form = login("ada").get(SCALING)
    assert "as for a version 1.0.0" in text(form)
    review = login("ada").post(SCALING, {**form_of(form), "max_replicas": "30", "do": "review"})
    assert "maxReplicas: 30" in text(review)
    assert "as for a version 1.0.0" in text(review)


def test_it_gives_a_model_a_policy_of_its_own_and_takes_it_away_again(
    login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    form = ada.get(f"{SCALING}?model=cider")
    assert "cider scales as all others" in text(form)
    review = ada.post(SCALING, {**form_of(form), "max_replicas": "9", "do": "review"})
    ada.post(SCALING, {**form_of(review), "do": "apply"})
    assert AutoscalingPolicy.objects.get().model.name == "cider"  # type: ignore[union-attr]
    form = ada.get(f"{SCALING}?model=cider")
    review = ada.post(SCALING, {**form_of(form), "do": "remove"})
    assert "Let cider scale as all others in production?" in text(review)
    ada.post(SCALING, {**form_of(review), "do": "apply-remove"})
    assert not AutoscalingPolicy.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("max_replicas", "1", "at least the 2"),
        ("min_replicas", "", "has to be a number"),
        ("min_replicas", "two", "has to be a whole number"),
        ("scale_up_period_seconds", "1801", "from 1 to 1800 s"),
        ("queue", "", "has to name the queue"),
    ],
)
def test_it_says_at_the_field_what_is_wrong_with_autoscaling(
    login: Login, place: KubernetesPlace, field: str, value: str, said: str
) -> None:
    ada = login("ada")
    typed = {**form_of(ada.get(SCALING)), field: value}
    answer = ada.post(SCALING, {**typed, "do": "review"})
    assert answer.status_code == 422
    assert said in error_at(answer, field).replace("\N{NO-BREAK SPACE}", " ")
    preview = ada.post(SCALING, {**typed, "do": "preview"})
    assert preview.status_code == 200
    assert "There is nothing to apply before this is right" in text(preview)


def test_it_shows_the_difference_anew_when_somebody_else_was_first(
    scene: Scene, login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    typed = {**form_of(ada.get(SCALING)), "max_replicas": "30"}
    review = ada.post(SCALING, {**typed, "do": "review"})
    other = scene.cast.actor(scene.cast.ada)
    commands.set_autoscaling(other, "production", None, Autoscaling(max_replicas=5), at=timezone.now())
    answer = ada.post(SCALING, {**form_of(review), "do": "apply"})
    assert answer.status_code == 409
    assert "Somebody else has changed it since you looked" in text(answer)
    assert AutoscalingPolicy.objects.get().max_replicas == 5
    ada.post(SCALING, {**form_of(answer), "do": "apply"})
    assert AutoscalingPolicy.objects.get().max_replicas == 30


def test_it_knows_no_autoscaling_of_a_model_that_is_not_there(login: Login, place: KubernetesPlace) -> None:
    assert login("ada").get(f"{SCALING}?model=rum").status_code == 404


# ---- network policy and callers ------------------------------------------------------------------
def test_it_previews_reviews_and_applies_a_network_policy_and_callers(
    login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    form = ada.get(NETWORK)
    assert "the header tenant is believed, whoever sends it" in text(form)
    typed = {**form_of(form), "has_network_policy": "on", "models_port": "8000", "namespaces": "shop\nweb"}
    preview = text(ada.post(NETWORK, {**typed, "do": "preview"}))
    assert "kind: NetworkPolicy" in preview
    assert "kind: AuthorizationPolicy" in preview
    review = ada.post(NETWORK, {**typed, "do": "review"})
    assert "networkpolicy/portal-models in acme-production, new" in text(review)
    assert ada.post(NETWORK, {**form_of(review), "do": "apply"}).status_code == 302
    place.refresh_from_db()
    assert place.has_network_policy
    assert place.network_models_port == 8000
    assert place.caller_namespaces == ["shop", "web"]
    assert AuditEvent.objects.get(action="protection.changed").detail["before"]["policy"] is None


def test_it_keeps_the_rules_of_a_policy_that_is_switched_off(login: Login, place: KubernetesPlace) -> None:
    place.has_network_policy, place.network_dns = True, "app=dns"
    place.save()
    ada = login("ada")
    typed = form_of(ada.get(NETWORK))
    del typed["has_network_policy"]
    review = ada.post(NETWORK, {**typed, "do": "review"})
    assert "networkpolicy/portal-models in acme-production, goes" in text(review)
    ada.post(NETWORK, {**form_of(review), "do": "apply"})
    place.refresh_from_db()
    assert (place.has_network_policy, place.network_dns) == (False, "app=dns")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("namespaces", "*", "is no namespace"),
        ("principals", "*", "is no principal"),
        ("issuer", "http://id.example.com", "https://"),
        ("models", "model-server", "key=value"),
        ("models_port", "0", "from 1 to 65535"),
    ],
)
def test_it_says_at_the_field_what_is_wrong_with_network_and_callers(
    login: Login, place: KubernetesPlace, field: str, value: str, said: str
) -> None:
    ada = login("ada")
    typed = {**form_of(ada.get(NETWORK)), "has_network_policy": "on", field: value}
    answer = ada.post(NETWORK, {**typed, "do": "review"})
    assert answer.status_code == 422
    assert said in error_at(answer, field)


# ---- policy, and a new one -----------------------------------------------------------------------
def test_it_changes_the_policy_and_keeps_what_the_form_does_not_show(scene: Scene, login: Login) -> None:
    scene.production.default_plan = {"grace_seconds": 7, "steps": [{"weight": 10}]}
    scene.production.save()
    ada = login("ada")
    path = f"{HERE}production/policy/"
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
    assert ada.post(path, {**sent, "do": "save"})["Location"] == f"{HERE}production/"
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
    answer = ada.post(f"{HERE}production/policy/", sent)
    assert answer.status_code == 422
    assert 'id="weight-0" name="weight-0" value="500"' in answer.content.decode()
    assert "has to be from 1 to 100" in text(answer)
    answer = ada.post(f"{HERE}production/policy/", {**sent, "weight-0": "5"})
    assert "from 0 to 20" in error_at(answer, "approvals")
    assert "from 60" in error_at(answer, "ttl")
    assert "from 0 to 100 %" in error_at(answer, "tolerance")
    scene.production.refresh_from_db()
    assert scene.production.approvals_required == 1


def test_it_adds_an_environment_after_the_others(scene: Scene, login: Login) -> None:
    sent = {"name": "lab", "position": "2", "approvals_required": "0", "requires_success_in": "staging"}
    answer = login("ada").post("/t/acme/add-environment/", sent)
    assert answer["Location"] == f"{HERE}lab/"
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
    assert "No cluster is set up for the portal" in text(client.get(f"{HERE}lab/"))
    assert "No cluster is set up" in text(client.get(f"{HERE}lab/connection/"))
