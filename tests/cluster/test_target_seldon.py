"""The target `seldon` against a real API server: its contract, and what only Kubernetes can do to it."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import AUTOSCALER, Cluster, ClusterConfig, Manifest
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.adapters.target.seldon_status import ready_endpoints
from releases.domain.autoscaling import Autoscaling
from releases.domain.release import TargetState
from releases.ports import Deployment, Refused, Unreachable
from tests.adapters.target_contract import *  # noqa: F403
from tests.adapters.target_contract import Subject
from tests.cluster import pods, rights
from tests.cluster.api import DEPLOYMENT, ENDPOINT_SLICE, QUOTA, SELDON_DEPLOYMENT, VIRTUAL_SERVICE, until
from tests.cluster.conftest import TENANT, TestCluster

DIGEST = "sha256:" + "ab" * 32
WHY = "ModuleNotFoundError: No module named 'vanished'"


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    """The environment `production` of the tenant, with the rights of deploy/rbac.yaml and no others."""
    rights.grant(cluster.api, [namespace])
    config = ClusterConfig("test", str(cluster.portal))
    return SeldonPlace(
        Cluster(config), namespace, TENANT, "production", "s3://models/x", "s3", start_seconds=60
    )


@pytest.fixture
def target(place: SeldonPlace) -> SeldonTarget:
    return SeldonTarget(place)


@pytest.fixture
def subject(cluster: TestCluster, place: SeldonPlace, tmp_path: Path) -> Iterator[Subject]:
    """For the contract."""
    target, address = SeldonTarget(place), rf"wine-v\d+-\d+-\d+\.{place.namespace}\.svc\.cluster\.local:8000"
    with ExitStack() as ends:

        def break_model() -> Path:
            words = f"Traceback (most recent call last):\n  File x\n{WHY}\n"
            state = pods.crashing(4, words)
            ends.enter_context(pods.held(cluster.api, place.namespace, "broken", state))
            return tmp_path

        def go_away() -> None:
            nobody = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.001))
            away.__init__(replace(place, cluster=nobody))  # type: ignore[misc]

        away = target
        yield Subject(target, tmp_path, break_model, go_away, address)


def version(number: str, digest: str = DIGEST, **changes: Any) -> Deployment:
    """A version of the model `wine`."""
    name = number.replace(".", "-")
    made = Deployment(
        f"acme-production-wine-v{name}-{digest[-8:]}", TENANT, "production", "wine", number, digest, Path()
    )
    return replace(made, **changes)


def ready(target: SeldonTarget, *deployments: Deployment) -> None:
    """Ensure all, and wait until they serve."""
    for one in deployments:
        target.ensure(one)
    refs = [one.ref for one in deployments]
    until(
        lambda: all(found.state is TargetState.READY for found in target.status(refs).values()),
        f"{refs} are ready",
    )


def seldon_deployment(cluster: TestCluster, place: SeldonPlace) -> Manifest:
    found = cluster.api.get(SELDON_DEPLOYMENT, "wine", place.namespace)
    assert found is not None
    return found


def set_traffic(cluster: TestCluster, place: SeldonPlace, **shares: int) -> None:
    """What a router does, by Seldon's own names."""
    found = seldon_deployment(cluster, place)
    for one in found["spec"]["predictors"]:
        one["traffic"] = shares[one["name"].replace("-", "_")]
    cluster.api.replace(SELDON_DEPLOYMENT, found)


def lead_to(cluster: TestCluster, place: SeldonPlace, **shares: int) -> None:
    """Our own VirtualService leads to these predictors."""
    to = [
        {
            "destination": {
                "host": seldon.host(f"wine-{name.replace('_', '-')}", place.namespace),
                "port": {"number": 8000},
            },
            "weight": share,
        }
        for name, share in shares.items()
    ]
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "portal-wine", "namespace": place.namespace},
        "spec": {"hosts": ["models.test"], "gateways": [place.istio_gateway], "http": [{"route": to}]},
    }
    cluster.api.apply(VIRTUAL_SERVICE, body, "tests")


def test_ensure_first_version_gets_all_and_second_nothing(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    target.ensure(version("1.3.2"))
    target.ensure(version("1.4.0"))
    found = seldon_deployment(cluster, place)
    shares = {one["name"]: one.get("traffic", 0) for one in found["spec"]["predictors"]}
    assert shares == {"v1-3-2": 100, "v1-4-0": 0}
    assert seldon.is_of(found, TENANT, "production")
    assert found["spec"]["predictors"][1]["graph"]["modelUri"] == f"s3://models/x/acme/wine/1.4.0/{'ab' * 32}"


def test_ensure_keeps_the_traffic_that_somebody_has_set(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    for number in ("1.3.2", "1.4.0"):
        target.ensure(version(number))
    set_traffic(cluster, place, v1_3_2=90, v1_4_0=10)
    target.ensure(version("1.5.0"))
    target.ensure(version("1.4.0"))
    shares = [one.get("traffic", 0) for one in seldon_deployment(cluster, place)["spec"]["predictors"]]
    assert shares == [90, 10, 0]


def test_pods_stay_when_weights_autoscaling_and_other_versions_change(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable, candidate)
    before = {pod["metadata"]["uid"] for pod in pods.running(cluster.api, place.namespace, candidate.ref)}
    set_traffic(cluster, place, v1_3_2=10, v1_4_0=90)
    target.ensure(replace(candidate, autoscaling=Autoscaling(min_replicas=1)))
    until(lambda: target.status([candidate.ref])[candidate.ref].autoscaling, "the autoscaler is there")
    set_traffic(cluster, place, v1_3_2=0, v1_4_0=100)
    lead_to(cluster, place, v1_4_0=100)
    until(lambda: _weight(cluster, place, "v1-3-2") == 0, "the operator's VirtualService follows")
    target.remove(stable.ref)
    until(lambda: not pods.of(cluster.api, place.namespace, stable.ref), "the pods of stable are gone")
    after = {pod["metadata"]["uid"] for pod in pods.of(cluster.api, place.namespace, candidate.ref)}
    assert before <= after


def _weight(cluster: TestCluster, place: SeldonPlace, predictor: str) -> int:
    """What the operator's VirtualService gives it; -1 before there is one."""
    found = cluster.api.get(VIRTUAL_SERVICE, "wine", place.namespace)
    return seldon.weights(found).get(seldon.host(f"wine-{predictor}", place.namespace), 0) if found else -1


def test_environment_that_changes_leaves_versions_that_serve_alone_and_cures_those_that_do_not(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable)
    state = pods.waiting("ImagePullBackOff", 'Back-off pulling image "mlserver:0"')
    with pods.held(cluster.api, place.namespace, candidate.ref, state):
        target.ensure(candidate)
        said = until(
            lambda: (
                (found := target.status([candidate.ref])[candidate.ref]).detail.count("ImagePullBackOff")
                and found
            ),
            "the reason is told",
        )
        until(lambda: _is_seen_to_be_down(cluster, place, "wine-v1-4-0"), "Kubernetes has seen it")
    assert said.state is TargetState.STARTING
    other = SeldonTarget(replace(place, model_image="mlserver:1.7.1"))
    ready(other, candidate)
    other.ensure(stable)
    images = {one["metadata"]["name"]: _image(one) for one in cluster.api.list(DEPLOYMENT, place.namespace)}
    assert images["wine-v1-4-0-0-model"] == "mlserver:1.7.1"
    assert images["wine-v1-3-2-0-model"] != "mlserver:1.7.1"


def _is_seen_to_be_down(cluster: TestCluster, place: SeldonPlace, service: str) -> bool:
    """kwok makes a pod ready before a test can make it unready: both controllers have to notice that."""
    workload = cluster.api.get(DEPLOYMENT, f"{service}-0-model", place.namespace) or {}
    slices = cluster.api.list(ENDPOINT_SLICE, place.namespace, f"{seldon.SERVICE_NAME}={service}")
    told = workload.get("status") or {}
    return bool(told.get("unavailableReplicas")) and not any(ready_endpoints(slices).values())


def _image(deployment: Manifest) -> str:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return str(next(one["image"] for one in containers if one["name"] == "model"))


def test_autoscaling_is_brought_about_with_its_behaviour_and_read_back(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    wanted = Autoscaling()
    scaled = version("1.4.0", autoscaling=wanted)
    ready(target, scaled)
    assert target.status([scaled.ref])[scaled.ref].autoscaling == wanted
    found = cluster.api.get(AUTOSCALER, "portal-wine-v1-4-0", place.namespace)
    assert found is not None
    assert found["spec"]["behavior"]["scaleDown"]["policies"] == [
        {"type": "Percent", "value": 50, "periodSeconds": 60}
    ]
    until(lambda: len(pods.of(cluster.api, place.namespace, scaled.ref)) == 2, "there are two replicas")
    cluster.api.patch(AUTOSCALER, seldon.name(found), place.namespace, {"spec": {"maxReplicas": 3}})
    by_hand = target.status([scaled.ref])[scaled.ref].autoscaling
    assert by_hand is not None
    assert by_hand.max_replicas == 3
    target.ensure(scaled)
    assert target.status([scaled.ref])[scaled.ref].autoscaling == wanted


def test_autoscaling_that_is_no_longer_wanted_goes_and_one_replica_stays(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    scaled = version("1.4.0", autoscaling=Autoscaling())
    ready(target, scaled)
    target.ensure(replace(scaled, autoscaling=None))
    assert target.status([scaled.ref])[scaled.ref].autoscaling is None
    until(lambda: len(pods.of(cluster.api, place.namespace, scaled.ref)) == 1, "one replica is left")


def test_remove_waits_until_no_traffic_is_led_there(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable, candidate)
    set_traffic(cluster, place, v1_3_2=90, v1_4_0=10)
    lead_to(cluster, place, v1_3_2=90, v1_4_0=10)
    with pytest.raises(Unreachable, match="10 % of the traffic"):
        target.remove(candidate.ref)
    set_traffic(cluster, place, v1_3_2=100, v1_4_0=0)
    with pytest.raises(Unreachable, match="portal-wine leads to it"):
        target.remove(candidate.ref)
    lead_to(cluster, place, v1_3_2=100)
    until(lambda: _weight(cluster, place, "v1-4-0") == 0, "the operator's VirtualService follows")
    target.remove(candidate.ref)
    assert target.list() == {stable.ref}
    assert target.status([candidate.ref])[candidate.ref].state is TargetState.ABSENT


def test_remove_of_a_crashing_candidate_does_not_wait_for_an_operator_that_cannot_write(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable, candidate)
    set_traffic(cluster, place, v1_3_2=90, v1_4_0=10)
    until(lambda: _weight(cluster, place, "v1-4-0") == 10, "the operator's VirtualService follows")
    with pods.held(cluster.api, place.namespace, candidate.ref, pods.crashing(4, WHY)):
        until(lambda: target.status([candidate.ref])[candidate.ref].state is TargetState.FAILED, "it crashes")
        set_traffic(cluster, place, v1_3_2=100, v1_4_0=0)
        lead_to(cluster, place, v1_3_2=100)
        assert _weight(cluster, place, "v1-4-0") == 10
        target.remove(candidate.ref)
    assert target.list() == {stable.ref}


def test_remove_of_the_last_version_takes_all_of_it_away(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    only = version("1.4.0", autoscaling=Autoscaling())
    ready(target, only)
    target.remove(only.ref)
    assert target.list() == set()
    assert cluster.api.get(SELDON_DEPLOYMENT, "wine", place.namespace) is None
    until(lambda: not cluster.api.list(AUTOSCALER, place.namespace), "the autoscaler is gone")
    until(lambda: not cluster.api.list(DEPLOYMENT, place.namespace), "the Deployment is gone")


def test_deployment_that_the_operator_forgot_is_listed_and_removed(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable)
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}
    cluster.api.create(QUOTA, quota, place.namespace)
    target.ensure(candidate)
    said = until(
        lambda: (
            (found := target.status([candidate.ref])[candidate.ref]).detail.count("exceeded quota") and found
        ),
        "the quota is told",
    )
    assert said.state is TargetState.STARTING
    assert said.detail.startswith("its pods cannot be made: ")

    def is_gone() -> bool:
        """An operator that was at work may make it once more: the next sweep sees it, and asks again."""
        target.remove(candidate.ref)
        left = [seldon.name(one) for one in cluster.api.list(DEPLOYMENT, place.namespace)]
        return left == ["wine-v1-3-2-0-model"]

    until(is_gone, "nothing of it is left")
    assert target.list() == {stable.ref}


def test_same_version_with_another_digest_is_refused(target: SeldonTarget) -> None:
    target.ensure(version("1.4.0"))
    with pytest.raises(Refused, match="a version that is deployed never changes"):
        target.ensure(version("1.4.0", "sha256:" + "cd" * 32))


def test_versions_whose_predictors_would_have_one_name_are_refused(target: SeldonTarget) -> None:
    target.ensure(version("1.0.0-rc.1"))
    with pytest.raises(Refused, match=r"v1-0-0-rc-1 .* is taken by 1\.0\.0-rc\.1"):
        target.ensure(version("1.0.0-rc-1", "sha256:" + "cd" * 32))


def test_seldon_deployment_of_somebody_else_is_left_alone(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    graph = {"name": "model", "implementation": "SKLEARN_SERVER", "modelUri": "gs://x"}
    body = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "wine", "namespace": place.namespace},
        "spec": {"protocol": "v2", "predictors": [{"name": "default", "graph": graph}]},
    }
    theirs = cluster.api.create(SELDON_DEPLOYMENT, body, place.namespace)
    with pytest.raises(Refused, match="is not the portal's"):
        target.ensure(version("1.4.0"))
    target.remove(version("1.4.0").ref)
    assert target.list() == set()
    assert seldon_deployment(cluster, place)["metadata"]["uid"] == theirs["metadata"]["uid"]


def test_autoscaler_of_somebody_else_is_left_alone(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "portal-wine-v1-4-0"},
        "spec": {"maxReplicas": 7, "scaleTargetRef": reference},
    }
    cluster.api.create(AUTOSCALER, body, place.namespace)
    with pytest.raises(Refused, match="is not the portal's"):
        target.ensure(version("1.4.0", autoscaling=Autoscaling()))
    found = cluster.api.get(AUTOSCALER, "portal-wine-v1-4-0", place.namespace)
    assert found is not None
    assert found["spec"]["maxReplicas"] == 7


@pytest.mark.parametrize(
    ("tenant", "said"), [("globex", "has mlops-portal.io/tenant=globex"), ("", "has no label")]
)
def test_namespace_of_somebody_else_is_refused(
    cluster: TestCluster, place: SeldonPlace, tenant: str, said: str
) -> None:
    with cluster.namespace(tenant) as namespace:
        rights.grant(cluster.api, [namespace])
        target = SeldonTarget(replace(place, namespace=namespace))
        with pytest.raises(Refused, match=said):
            target.ensure(version("1.4.0"))


def test_namespace_that_is_missing_or_closed_to_the_portal_is_refused_by_name(place: SeldonPlace) -> None:
    with pytest.raises(Refused, match=r'namespaces "nowhere" is forbidden'):
        SeldonTarget(replace(place, namespace="nowhere")).ensure(version("1.4.0"))


def test_webhook_refusal_is_told(cluster: TestCluster, place: SeldonPlace, target: SeldonTarget) -> None:
    ready(target, version("1.3.2"), version("1.4.0"))
    found = seldon_deployment(cluster, place)
    found["metadata"]["resourceVersion"] = ""
    broken = seldon.ours(found)
    broken["spec"]["predictors"][1]["traffic"] = 40
    with pytest.raises(Refused, match="Traffic must sum to 100"):
        place.seldon_deployments.rewrite("wine", lambda present: broken)


def test_other_writer_in_between_loses_nothing(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    for number in ("1.3.2", "1.4.0"):
        target.ensure(version(number))
    tried: list[int] = []

    def change(present: Manifest | None) -> Manifest | None:
        assert present is not None
        tried.append(1)
        if len(tried) == 1:
            set_traffic(cluster, place, v1_3_2=70, v1_4_0=30)
        return {**present, "metadata": {**present["metadata"], "annotations": {seldon.STABLE: "x"}}}

    place.seldon_deployments.rewrite("wine", change)
    found = seldon_deployment(cluster, place)
    assert len(tried) == 2
    assert [one["traffic"] for one in found["spec"]["predictors"]] == [70, 30]
    assert seldon.roles(found)[0] == "x"


def test_artifact_that_was_changed_by_hand_is_seen_in_the_digest(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    only = version("1.4.0")
    ready(target, only)
    assert target.status([only.ref])[only.ref].digest == DIGEST
    found = seldon_deployment(cluster, place)
    found["spec"]["predictors"][0]["graph"]["modelUri"] = "s3://models/x/acme/wine/1.4.0/" + "ee" * 32
    cluster.api.replace(SELDON_DEPLOYMENT, found)
    until(lambda: target.status([only.ref])[only.ref].digest == "sha256:" + "ee" * 32, "the drift is seen")


def test_executor_is_told_nothing_that_changes_with_traffic(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    ready(target, version("1.4.0"))
    found = cluster.api.get(DEPLOYMENT, "wine-v1-4-0-0-model", place.namespace)
    assert found is not None
    executor = next(
        one for one in found["spec"]["template"]["spec"]["containers"] if one["name"] == seldon.EXECUTOR
    )
    env = {one["name"]: one.get("value") for one in executor["env"]}
    told = json.loads(base64.b64decode(env["ENGINE_PREDICTOR"]))
    assert "traffic" not in told
    assert "hpaSpec" not in told["componentSpecs"][0]
    assert executor["resources"]["requests"]
