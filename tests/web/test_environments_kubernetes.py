"""An environment on Kubernetes: its forms beside the manifests, for connection, autoscaling and network."""

import pytest
from django.utils import timezone

from releases.domain.autoscaling import Autoscaling
from releases.models import AutoscalingPolicy, Environment, KubernetesPlace
from releases.services import commands
from tenants.models import AuditEvent
from tests import factories
from tests.web.conftest import CONNECTION, ENVIRONMENTS, NETWORK, SCALING, Login, Scene
from tests.web.reading import error_at, form_of, text


# ---- connection ----------------------------------------------------------------------------------
def test_it_connects_an_environment_and_has_it_tested(login: Login, lab: Environment) -> None:
    ada = login("ada")
    assert "Connect it to a cluster" in text(ada.get(f"{ENVIRONMENTS}lab/"))
    answer = ada.post(f"{ENVIRONMENTS}lab/connection/", CONNECTION, follow=True)
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
    answer = login("ada").post(f"{ENVIRONMENTS}lab/connection/", {**CONNECTION, field: value})
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
    answer = login("ada").post(f"{ENVIRONMENTS}lab/connection/", CONNECTION)
    assert "another environment" in error_at(answer, "namespace")
    assert "globex" not in answer.content.decode().lower()
    assert "secret-lab" not in answer.content.decode()


def test_it_does_not_move_an_environment_in_which_something_serves(
    login: Login, place: KubernetesPlace
) -> None:
    ada = login("ada")
    path = f"{ENVIRONMENTS}production/connection/"
    assert "stay as they are, because something serves here" in text(ada.get(path))
    answer = ada.post(path, {**CONNECTION, "namespace": "elsewhere"})
    assert answer.status_code == 409
    assert "production cannot move" in text(answer)
    assert ada.post(f"{ENVIRONMENTS}production/disconnect/").status_code == 409


def test_it_disconnects_an_empty_environment_after_a_question(login: Login, lab: Environment) -> None:
    factories.kubernetes(lab)
    ada = login("ada")
    assert "Disconnect lab from main?" in text(ada.get(f"{ENVIRONMENTS}lab/disconnect/"))
    assert ada.post(f"{ENVIRONMENTS}lab/disconnect/")["Location"] == f"{ENVIRONMENTS}lab/"
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
