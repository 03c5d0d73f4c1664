"""The target `seldon` against a real API server: its contract, and what it makes of an environment."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import AUTOSCALER, Cluster, ClusterConfig, Manifest
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.adapters.target.seldon_status import ready_endpoints
from releases.domain.autoscaling import Autoscaling
from releases.domain.release import TargetState
from tests.adapters.target_contract import *  # noqa: F403
from tests.adapters.target_contract import Subject
from tests.cluster import pods
from tests.cluster.api import DEPLOYMENT, ENDPOINT_SLICE, SELDON_DEPLOYMENT, until
from tests.cluster.conftest import TENANT, TestCluster
from tests.cluster.wines import (
    DIGEST,
    lead_to,
    production,
    ready,
    seldon_deployment,
    set_traffic,
    version,
    weight,
)

WHY = "ModuleNotFoundError: No module named 'vanished'"


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    return production(cluster, namespace)


@pytest.fixture
def target(place: SeldonPlace) -> SeldonTarget:
    return SeldonTarget(place)


@pytest.fixture
def subject(cluster: TestCluster, place: SeldonPlace, tmp_path: Path) -> Iterator[Subject]:
    """For the contract."""
    address = rf"wine-v\d+-\d+-\d+\.{place.namespace}\.svc\.cluster\.local:8000"
    with ExitStack() as ends:

        def break_model() -> Path:
            words = f"Traceback (most recent call last):\n  File x\n{WHY}\n"
            state = pods.crashing(4, words)
            ends.enter_context(pods.held(cluster.api, place.namespace, "broken", state))
            return tmp_path

        def go_away() -> None:
            nobody = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.001))
            made.target = SeldonTarget(replace(place, cluster=nobody))

        made = Subject(
            SeldonTarget(place), tmp_path, break_model, go_away, is_made_at_once=False, address=address
        )
        yield made


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
    until(lambda: weight(cluster, place, "v1-3-2") == 0, "the operator's VirtualService follows")
    target.remove(stable.ref)
    until(lambda: not pods.of(cluster.api, place.namespace, stable.ref), "the pods of stable are gone")
    after = {pod["metadata"]["uid"] for pod in pods.of(cluster.api, place.namespace, candidate.ref)}
    assert before <= after


def test_what_somebody_adds_to_an_autoscaler_is_taken_out_again(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    scaled = version("1.4.0", autoscaling=Autoscaling())
    target.ensure(scaled)

    def disable(found: Manifest) -> None:
        found["spec"]["behavior"]["scaleDown"]["selectPolicy"] = "Disabled"

    cluster.api.edit(AUTOSCALER, "portal-wine-v1-4-0", place.namespace, disable)
    target.ensure(scaled)
    until(lambda: target.status([scaled.ref])[scaled.ref].autoscaling == Autoscaling(), "it scales as wanted")


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


def test_artifact_that_was_changed_by_hand_is_seen_in_the_digest(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    only = version("1.4.0")
    ready(target, only)
    assert target.status([only.ref])[only.ref].digest == DIGEST

    def lead_elsewhere(found: Manifest) -> None:
        found["spec"]["predictors"][0]["graph"]["modelUri"] = "s3://models/x/acme/wine/1.4.0/" + "ee" * 32

    cluster.api.edit(SELDON_DEPLOYMENT, "wine", place.namespace, lead_elsewhere)
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
