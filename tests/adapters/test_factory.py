"""The factory: every port from the settings and the rows, made once, nothing unknown, nothing stale."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from releases.adapters import factory
from releases.adapters.probe.subprocess import SubprocessProbe
from releases.adapters.target.local import LocalTarget
from releases.domain.release import TargetState
from releases.domain.routing import Route
from releases.models import Environment, KubernetesPlace
from releases.models.places import TargetKind
from releases.ports import Missing, Unreachable
from tests import factories


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    factory._local.cache_clear()
    monkeypatch.setattr(factory, "_seldon", factory.SeldonPorts())
    yield
    factory._local.cache_clear()


@pytest.fixture
def environment(db: None) -> Environment:
    return factories.environment(factories.tenant("acme"), "production", target=TargetKind.SELDON)


@pytest.fixture
def place(environment: Environment, settings: Settings) -> KubernetesPlace:
    """An environment on a cluster that nobody listens for."""
    settings.KUBERNETES_CLUSTERS = {"blue": "/nowhere/kubeconfig"}
    return KubernetesPlace.objects.create(
        tenant=environment.tenant,
        environment=environment,
        cluster="blue",
        namespace="acme-production",
        gateway_url="https://models.example",
        artifacts="s3://models/prod",
        artifacts_secret="s3",
    )


def test_ports_of_the_local_target_are_made_once() -> None:
    assert factory.ports("local") is factory.ports("local")


def test_ports_use_the_addresses_of_the_settings(settings: Settings) -> None:
    settings.MLFLOW_TRACKING_URI = "http://user:hidden@127.0.0.1:9"
    ports = factory.ports("local")
    with pytest.raises(Unreachable, match=r"MLflow at 127\.0\.0\.1:9 cannot be reached") as caught:
        ports.registry.list_versions("wine")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("kind", ["", "Local", "kubernetes", "seldon", "seldon/", "seldon/x", "local/1"])
def test_ports_of_an_unknown_kind_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="unknown kind of serving target"):
        factory.ports(kind)


def test_model_processes_of_this_machine_get_what_runs_beside_models(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MODEL_PROCESS_ENVIRONMENT = {"MODEL_CACHE_URL": "redis://cache/0"}
    made: dict[str, Any] = {}
    monkeypatch.setattr(factory, "LocalTarget", lambda config: made.setdefault("target", LocalTarget(config)))
    monkeypatch.setattr(
        factory, "SubprocessProbe", lambda config: made.setdefault("probe", SubprocessProbe(config))
    )
    factory.ports("local")
    assert made["probe"]._config.environment == {
        "MODEL_CACHE_URL": "redis://cache/0",
        "FORK_SERVER": str(settings.FORK_SERVER),
    }
    assert made["target"]._config.environment == {
        **factory.MODEL_ENVIRONMENT,
        "MODEL_CACHE_URL": "redis://cache/0",
        "PORTAL_STACK": str(settings.VAR),
    }


def test_ports_of_a_place_are_made_once_and_share_what_all_places_share(place: KubernetesPlace) -> None:
    made = factory.ports(place.environment.place)
    assert factory.ports(place.environment.place) is made
    here = factory.ports("local")
    assert made.registry is here.registry
    assert made.target is not here.target
    assert made.router.url(Route("acme", "production", "wine")) == (
        "https://models.example/acme/production/v2/models/wine"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "other"},
        {"cpu_limit": "4"},
        {"models_secret": "beside"},
        {"metrics_from": "prometheus-istio", "prometheus_url": "http://prometheus.example:9090"},
        {"network_models": "app=models"},
    ],
)
def test_ports_are_made_anew_when_the_connection_has_changed(
    place: KubernetesPlace, change: dict[str, str]
) -> None:
    before = factory.ports(place.environment.place)
    KubernetesPlace.objects.filter(pk=place.pk).update(**change)
    after = factory.ports(place.environment.place)
    assert after is not before
    assert factory.ports(place.environment.place) is after


def test_ports_follow_the_settings_of_the_clusters(place: KubernetesPlace, settings: Settings) -> None:
    before = factory.ports(place.environment.place)
    settings.KUBERNETES_CLUSTERS = {"blue": "/elsewhere/kubeconfig"}
    assert factory.ports(place.environment.place) is not before


def test_ports_of_places_that_are_gone_are_not_kept(place: KubernetesPlace) -> None:
    factory.ports(place.environment.place)
    name = place.environment.place
    other = factories.environment(place.tenant, "staging", target=TargetKind.SELDON)
    place.environment.delete()
    factory.ports(other.place)
    assert list(factory._seldon._made) == [other.pk]
    assert len(factory._seldon._clusters) == 1
    with pytest.raises(Environment.DoesNotExist):
        factory.ports(name)


def test_places_on_one_cluster_share_its_connection(place: KubernetesPlace) -> None:
    other = factories.environment(place.tenant, "staging", target=TargetKind.SELDON)
    second = KubernetesPlace.objects.get(pk=place.pk)
    second.pk, second.environment, second.namespace = None, other, "acme-staging"
    second.save(force_insert=True)
    factory.ports(place.environment.place)
    factory.ports(other.place)
    assert len(factory._seldon._clusters) == 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("nothing", "nobody has said yet on which cluster and in which namespace production is"),
        ("invalid", "the connection of production is not valid"),
        ("unknown", "the cluster blue is not set up: KUBERNETES_CLUSTERS does not name it"),
        ("file", "the connection to the cluster blue cannot be read"),
    ],
)
def test_ports_of_a_place_that_is_not_set_up_say_so_when_they_are_used(
    place: KubernetesPlace, settings: Settings, trouble: str, said: str
) -> None:
    if trouble == "nothing":
        KubernetesPlace.objects.all().delete()
    elif trouble == "invalid":
        KubernetesPlace.objects.update(artifacts="ftp://models")
    elif trouble == "unknown":
        settings.KUBERNETES_CLUSTERS = {}
    ports = factory.ports(place.environment.place)
    status = ports.target.status(["wine"])["wine"]
    assert status.state is TargetState.UNKNOWN
    assert status.detail.startswith(said)
    with pytest.raises(Unreachable, match=said):
        ports.target.list()
    with pytest.raises(Unreachable, match=said):
        ports.router.read([Route("acme", "production", "wine")])
    assert ports.metrics.read(["wine"]) == {"wine": Missing.UNREACHABLE}
    findings = ports.connection.examine()
    assert any(said in finding.said for finding in findings)
    asks_the_store = any(finding.name == "artifact store" for finding in findings)
    assert asks_the_store == (trouble in ("unknown", "file"))  # of the others nobody knows whose store it is


def test_web_process_does_not_pay_for_the_clients_of_clusters() -> None:
    program = (
        "import sys, mlops_portal.asgi, mlops_portal.urls\n"
        "print(sorted({'kubernetes', 'boto3', 'botocore', 'mlflow'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert answer.stdout.strip() == "[]", answer.stderr
