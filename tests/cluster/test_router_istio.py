"""The router on Kubernetes against a real API server: its contract, and what only a cluster can do to it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import Cluster, ClusterConfig, Manifest
from releases.adapters.router.istio import IstioRouter
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Deployment, Refused
from tests.adapters.router_contract import *  # noqa: F403
from tests.adapters.router_contract import BEER, CANDIDATE, STABLE, WINE, Subject
from tests.cluster import pods, rights
from tests.cluster.api import SELDON_DEPLOYMENT, VIRTUAL_SERVICE, until
from tests.cluster.conftest import TENANT, TestCluster

VERSIONS = {STABLE.ref: "1.0.0", CANDIDATE.ref: "1.1.0"}
OURS = "portal-wine"


def place_in(cluster: TestCluster, namespace: str) -> IstioPlace:
    """The environment `production` of the tenant, with the rights of deploy/rbac.yaml and no others."""
    rights.grant(cluster.api, [namespace])
    connected = Cluster(ClusterConfig("test", str(cluster.portal), seconds=30))
    return IstioPlace(connected, namespace, TENANT, "production", "http://models.test:8080")


def target_in(place: IstioPlace) -> SeldonTarget:
    return SeldonTarget(
        SeldonPlace(place.cluster, place.namespace, TENANT, "production", "s3://models/x", "s3")
    )


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> IstioPlace:
    return place_in(cluster, namespace)


@pytest.fixture
def router(place: IstioPlace) -> IstioRouter:
    return IstioRouter(place)


@pytest.fixture
def target(place: IstioPlace) -> SeldonTarget:
    return target_in(place)


@pytest.fixture(scope="module")
def served(cluster: TestCluster) -> Iterator[IstioPlace]:
    """Two models with two versions each: to bring them up takes longer than what is done to them."""
    with cluster.namespace() as namespace:
        place = place_in(cluster, namespace)
        for route in (WINE, BEER):
            for ref in VERSIONS:
                target_in(place).ensure(deployment(ref, route.model))
        yield place


@pytest.fixture
def subject(cluster: TestCluster, served: IstioPlace) -> Iterator[Subject]:
    """For the contract: no route leads to what is served."""
    router = IstioRouter(served)

    def go_away() -> None:
        nobody = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.001))
        router.__init__(replace(served, cluster=nobody))  # type: ignore[misc]

    yield Subject(router, go_away, lambda route, one: arm(served, one.ref, route.model).address, seconds=20)
    IstioRouter(served).remove([WINE, BEER])


def deployment(ref: str, model: str = "wine") -> Deployment:
    digest = "sha256:" + "ab" * 32
    return Deployment(ref, TENANT, "production", model, VERSIONS.get(ref, "9.0.0"), digest, Path())


def arm(place: IstioPlace, ref: str, model: str = "wine") -> Arm:
    predictor = seldon.predictor_name(VERSIONS.get(ref, "9.0.0"))
    return Arm(ref, seldon.address(model, predictor, place.namespace))


def canary(place: IstioPlace, share: int, *, shadow: bool = False) -> RouteSetting:
    return RouteSetting(TrafficSplit(share, shadow), arm(place, STABLE.ref), arm(place, CANDIDATE.ref))


@pytest.fixture
def split(
    cluster: TestCluster, router: IstioRouter, target: SeldonTarget, place: IstioPlace
) -> Callable[..., None]:
    """Apply a split of `wine`, whose versions are ready, and wait until both engines are told it."""
    for ref in VERSIONS:
        target.ensure(deployment(ref))
    until(lambda: not _is_unready(cluster, place), "both versions are ready")

    def apply(share: int, *, shadow: bool = False) -> None:
        setting = canary(place, share, shadow=shadow)
        router.apply({WINE: setting})
        until(lambda: router.read([WINE]) == {WINE: setting}, f"a split of {share} is in effect")

    return apply


def read(router: IstioRouter) -> RouteSetting:
    found = router.read([WINE])[WINE]
    assert found is not None
    return found


def there(cluster: TestCluster, place: IstioPlace, kind: Any, name: str) -> Manifest:
    found = cluster.api.get(kind, name, place.namespace)
    assert found is not None
    return found


def shares(cluster: TestCluster, place: IstioPlace) -> list[int]:
    """In the SeldonDeployment, in the order of its predictors."""
    found = there(cluster, place, SELDON_DEPLOYMENT, "wine")
    return [seldon.traffic(one) for one in seldon.predictors(found)]


def _is_unready(cluster: TestCluster, place: IstioPlace) -> bool:
    found = there(cluster, place, SELDON_DEPLOYMENT, "wine").get("status", {})
    return bool(found.get("state") != "Available" or len(found["deploymentStatus"]) < len(VERSIONS))


def test_split_is_told_to_seldon_with_the_roles_and_to_istio(
    cluster: TestCluster, place: IstioPlace, split: Callable[..., None]
) -> None:
    split(10)
    assert shares(cluster, place) == [90, 10]
    found = there(cluster, place, SELDON_DEPLOYMENT, "wine")
    assert seldon.roles(found) == (STABLE.ref, CANDIDATE.ref)
    ours, theirs = (there(cluster, place, VIRTUAL_SERVICE, name) for name in (OURS, "wine"))
    hosts = {
        seldon.host(f"wine-v1-{minor}-0", place.namespace): weight for minor, weight in ((0, 90), (1, 10))
    }
    assert seldon.weights(theirs) == hosts
    assert ours["spec"]["hosts"] == ["models.test"]
    assert {one["destination"]["host"]: one["weight"] for one in ours["spec"]["http"][1]["route"]} == hosts
    assert seldon.is_of(ours, TENANT, "production")


def test_no_split_and_no_shadow_restarts_a_pod(
    cluster: TestCluster, place: IstioPlace, split: Callable[..., None]
) -> None:
    def uids() -> set[str]:
        found = [pod for ref in VERSIONS for pod in pods.running(cluster.api, place.namespace, ref)]
        return {pod["metadata"]["uid"] for pod in found}

    split(0)
    before = uids()
    split(0, shadow=True)
    assert there(cluster, place, VIRTUAL_SERVICE, OURS)["spec"]["http"][1]["mirrorPercentage"] == {
        "value": 100
    }
    for share in (1, 50, 100, 0):
        split(share)
    assert uids() == before


def test_weights_changed_by_hand_are_told_and_the_next_apply_repairs_them(
    cluster: TestCluster, place: IstioPlace, router: IstioRouter, split: Callable[..., None]
) -> None:
    split(10)
    changes = [
        {"op": "replace", "path": f"/spec/predictors/{number}/traffic", "value": share}
        for number, share in enumerate((40, 60))
    ]
    cluster.api.patch(SELDON_DEPLOYMENT, "wine", place.namespace, changes)
    assert read(router).doubt == "the SeldonDeployment wine gives v1-0-0 40 %, not 90 %"
    split(10)
    assert shares(cluster, place) == [90, 10]


def test_our_virtual_service_changed_by_hand_is_told_and_the_next_apply_repairs_it(
    cluster: TestCluster, place: IstioPlace, router: IstioRouter, split: Callable[..., None]
) -> None:
    split(10)
    found = there(cluster, place, VIRTUAL_SERVICE, OURS)
    found["spec"]["http"][1]["route"][0]["weight"] = 40
    found["spec"]["http"][1]["route"][1]["weight"] = 60
    found["spec"]["exportTo"] = ["."]
    cluster.api.replace(VIRTUAL_SERVICE, found)
    assert read(router).split == TrafficSplit(60)
    assert "exportTo" in read(router).doubt
    split(10)
    assert "exportTo" not in there(cluster, place, VIRTUAL_SERVICE, OURS)["spec"]


def test_operators_virtual_service_counts_only_while_the_operator_can_write_it(
    cluster: TestCluster, place: IstioPlace, router: IstioRouter, split: Callable[..., None]
) -> None:
    """A candidate that crash-loops freezes the operator's weights; a rollback is in effect nevertheless."""
    split(50)
    with pods.held(cluster.api, place.namespace, CANDIDATE.ref, pods.crashing(4, "boom")):
        until(lambda: _is_unready(cluster, place), "the candidate's Deployment is not ready")
        router.apply({WINE: canary(place, 0)})
        assert router.read([WINE]) == {WINE: canary(place, 0)}
        frozen = seldon.weights(there(cluster, place, VIRTUAL_SERVICE, "wine"))
        assert sorted(frozen.values()) == [50, 50]


def test_first_version_is_reached_at_our_host_only_from_its_share_on(
    cluster: TestCluster, place: IstioPlace, router: IstioRouter, target: SeldonTarget
) -> None:
    target.ensure(deployment(STABLE.ref))
    smoke = RouteSetting(TrafficSplit(0), None, arm(place, STABLE.ref))
    router.apply({WINE: smoke})
    until(lambda: router.read([WINE]) == {WINE: smoke}, "the smoke test's route is in effect")
    for_all = there(cluster, place, VIRTUAL_SERVICE, OURS)["spec"]["http"][1]
    assert for_all["directResponse"]["status"] == 503
    assert shares(cluster, place) == [100]
    alone = RouteSetting(TrafficSplit(100), None, arm(place, STABLE.ref))
    router.apply({WINE: alone})
    until(lambda: router.read([WINE]) == {WINE: alone}, "the first version has everything")


def test_target_and_router_that_write_at_once_lose_nothing_of_each_other(
    cluster: TestCluster, place: IstioPlace, router: IstioRouter, target: SeldonTarget
) -> None:
    for ref in VERSIONS:
        target.ensure(deployment(ref))
    failures: list[BaseException] = []

    def routes() -> None:
        try:
            for share in range(1, 16):
                router.apply({WINE: canary(place, share)})
        except BaseException as error:
            failures.append(error)

    routing = threading.Thread(target=routes)
    routing.start()
    strangers = {f"acme-production-wine-{number}": f"2.{number}.0" for number in range(4)}
    for ref, version in strangers.items():
        target.ensure(replace(deployment(ref), version=version))
    routing.join(60)
    assert not failures
    found = there(cluster, place, SELDON_DEPLOYMENT, "wine")
    assert {seldon.ref(one) for one in seldon.predictors(found)} == {*VERSIONS, *strangers}
    assert shares(cluster, place) == [85, 15, 0, 0, 0, 0]


def test_route_that_is_refused_keeps_none_of_the_others_from_being_written(
    router: IstioRouter, target: SeldonTarget, place: IstioPlace
) -> None:
    target.ensure(deployment(STABLE.ref))
    alone = RouteSetting(TrafficSplit(0), arm(place, STABLE.ref), None)
    nowhere = RouteSetting(TrafficSplit(0), arm(place, STABLE.ref, "beer"), None)
    with pytest.raises(Refused, match="acme/production/beer: there is no SeldonDeployment"):
        router.apply({BEER: nowhere, WINE: alone})
    assert router.read([BEER])[BEER] is None
    assert read(router).stable == alone.stable


def test_candidate_without_a_predictor_gets_no_route(
    router: IstioRouter, target: SeldonTarget, place: IstioPlace
) -> None:
    target.ensure(deployment(STABLE.ref))
    with pytest.raises(Refused, match=f"no predictor for {CANDIDATE.ref}"):
        router.apply({WINE: canary(place, 10)})
    assert router.read([WINE]) == {WINE: None}


def test_virtual_service_of_somebody_else_is_left_alone(
    cluster: TestCluster, router: IstioRouter, target: SeldonTarget, place: IstioPlace
) -> None:
    target.ensure(deployment(STABLE.ref))
    theirs = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": OURS, "namespace": place.namespace},
        "spec": {"hosts": ["theirs.test"], "gateways": [place.istio_gateway], "http": []},
    }
    cluster.api.apply(VIRTUAL_SERVICE, theirs, "somebody")
    with pytest.raises(Refused, match="is not the portal's"):
        router.apply({WINE: RouteSetting(TrafficSplit(0), arm(place, STABLE.ref), None)})
    router.remove([WINE])
    assert router.read([WINE]) == {WINE: None}
    assert there(cluster, place, VIRTUAL_SERVICE, OURS)["spec"]["hosts"] == ["theirs.test"]


def test_route_of_another_environment_is_refused(router: IstioRouter, place: IstioPlace) -> None:
    with pytest.raises(Refused, match="is not of acme/production"):
        router.apply({Route("globex", "production", "wine"): canary(place, 10)})
