"""Versions go from Kubernetes when no request can go there any more, and then nothing of them stays."""

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import AUTOSCALER
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.autoscaling import Autoscaling
from releases.domain.release import TargetState
from releases.ports import Unreachable
from tests.cluster import pods
from tests.cluster.api import DEPLOYMENT, QUOTA, SELDON_DEPLOYMENT, until
from tests.cluster.conftest import TestCluster
from tests.cluster.wines import lead_to, production, ready, set_traffic, version, weight

WHY = "ModuleNotFoundError: No module named 'vanished'"


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    return production(cluster, namespace)


@pytest.fixture
def target(place: SeldonPlace) -> SeldonTarget:
    return SeldonTarget(place)


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
    until(lambda: weight(cluster, place, "v1-4-0") == 0, "the operator's VirtualService follows")
    target.remove(candidate.ref)
    assert target.list() == {stable.ref}
    assert target.status([candidate.ref])[candidate.ref].state is TargetState.ABSENT


def test_remove_of_a_crashing_candidate_does_not_wait_for_an_operator_that_cannot_write(
    cluster: TestCluster, place: SeldonPlace, target: SeldonTarget
) -> None:
    stable, candidate = version("1.3.2"), version("1.4.0")
    ready(target, stable, candidate)
    set_traffic(cluster, place, v1_3_2=90, v1_4_0=10)
    until(lambda: weight(cluster, place, "v1-4-0") == 10, "the operator's VirtualService follows")
    with pods.held(cluster.api, place.namespace, candidate.ref, pods.crashing(4, WHY)):
        until(lambda: target.status([candidate.ref])[candidate.ref].state is TargetState.FAILED, "it crashes")
        set_traffic(cluster, place, v1_3_2=100, v1_4_0=0)
        lead_to(cluster, place, v1_3_2=100)
        assert weight(cluster, place, "v1-4-0") == 10
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
