"""The guard on Kubernetes against a real API server, with the portal's rights and no others."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from releases.adapters.guard.istio import IstioGuard
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import (
    AUTHORIZATION_POLICY,
    GATEWAY,
    NETWORK_POLICY,
    POD,
    REQUEST_AUTHENTICATION,
    Cluster,
    ClusterConfig,
    Kind,
    Manifest,
)
from releases.domain.network import Callers, NetworkRules
from releases.ports import Protection, Refused, Unreachable
from tests.cluster import rights
from tests.cluster.api import ROLE_BINDING
from tests.cluster.conftest import TENANT, TestCluster

AROUND = "istio-system"
ISSUER = "https://issuer.test"
JWT = Callers(issuer=ISSUER, jwks_uri=f"{ISSUER}/keys", namespaces=("shop",))
WANTED = Protection(TENANT, "production", NetworkRules(), JWT)
NOTHING = Protection(TENANT, "production", None, Callers())
SERVERS = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> Iterator[IstioPlace]:
    """With a Gateway of the test's own."""
    rights.grant(cluster.api, [namespace])
    connected = Cluster(ClusterConfig("test", str(cluster.portal), seconds=30))
    made = IstioPlace(
        connected, namespace, TENANT, "production", "https://models.test:8443", f"{AROUND}/{namespace}"
    )
    gateway(cluster, made)
    yield made
    cluster.api.delete(GATEWAY, namespace, AROUND)
    for kind in (AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION):
        cluster.api.delete(kind, f"portal-{namespace}", AROUND)


@pytest.fixture
def guard(place: IstioPlace) -> IstioGuard:
    return IstioGuard(place)


def gateway(cluster: TestCluster, place: IstioPlace, **changes: object) -> None:
    spec = {"selector": {"istio": "ingressgateway"}, "servers": SERVERS, **changes}
    spec = {key: value for key, value in spec.items() if value}
    body = {
        "apiVersion": GATEWAY.api_version,
        "kind": "Gateway",
        "metadata": {"name": place.namespace, "namespace": AROUND},
        "spec": spec,
    }
    cluster.api.apply(GATEWAY, body, "tests")


def pod(cluster: TestCluster, namespace: str, port: int, sidecar: bool, **labels: str) -> None:
    """A pod as Seldon makes them."""
    containers = [{"name": "model", "image": "x", "ports": [{"containerPort": port}]}]
    if sidecar:
        containers.append({"name": "istio-proxy", "image": "x"})
    metadata = {"generateName": "model-", "labels": {"app.kubernetes.io/managed-by": "seldon-core", **labels}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
    cluster.api.create(POD, body, namespace)


def there(cluster: TestCluster, kind: Kind, name: str, namespace: str) -> Manifest:
    found = cluster.api.get(kind, name, namespace)
    assert found is not None
    return found


def everything(cluster: TestCluster, place: IstioPlace) -> dict[str, str]:
    """What there is of policies, by its name; the value changes when the object is written."""
    return {
        f"{kind.name} {one['metadata']['namespace']}/{one['metadata']['name']}": str(
            one["metadata"]["resourceVersion"]
        )
        for kind in (NETWORK_POLICY, AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION)
        for namespace in (place.namespace, AROUND)
        for one in cluster.api.list(kind, namespace)
        if place.namespace in (namespace, one["metadata"]["name"].removeprefix("portal-"))
    }


def test_apply_brings_everything_about_once(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    missing = guard.drift(WANTED)
    assert len(missing) == 4
    assert f"there is no NetworkPolicy {place.namespace}/portal-models" in missing
    guard.apply(WANTED)
    assert guard.drift(WANTED) == []
    before = everything(cluster, place)
    assert set(before) == {
        f"NetworkPolicy {place.namespace}/portal-models",
        f"AuthorizationPolicy {place.namespace}/portal-callers",
        f"AuthorizationPolicy {AROUND}/portal-{place.namespace}",
        f"RequestAuthentication {AROUND}/portal-{place.namespace}",
    }
    guard.apply(WANTED)
    assert everything(cluster, place) == before


def test_change_of_what_is_wanted_is_brought_about(guard: IstioGuard, place: IstioPlace) -> None:
    guard.apply(WANTED)
    other = replace(WANTED, network=NetworkRules(models_port=8000), callers=replace(JWT, claim="customer"))
    what = f"NetworkPolicy {place.namespace}/portal-models"
    assert f"{what}: spec.ingress[0].ports[0].port is 8080, not 8000" in guard.drift(other)
    guard.apply(other)
    assert guard.drift(other) == []


def test_what_is_not_wanted_any_more_goes_and_what_others_made_stays(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    theirs = {
        "apiVersion": NETWORK_POLICY.api_version,
        "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "namespace": place.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }
    cluster.api.apply(NETWORK_POLICY, theirs, "somebody")
    guard.apply(WANTED)
    assert f"NetworkPolicy {place.namespace}/portal-models is not wanted any more" in guard.drift(NOTHING)
    guard.apply(NOTHING)
    assert guard.drift(NOTHING) == []
    assert set(everything(cluster, place)) == {f"NetworkPolicy {place.namespace}/theirs"}


def test_policy_weakened_by_hand_is_told_and_repaired_whatever_was_added(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    guard.apply(WANTED)
    what = (NETWORK_POLICY, "portal-models", place.namespace)
    found = there(cluster, *what)
    found["spec"]["podSelector"]["matchLabels"]["nobody"] = "has-this"
    found["spec"]["ingress"][0]["ports"].append({"protocol": "TCP", "port": 22})
    cluster.api.replace(NETWORK_POLICY, found)
    assert guard.drift(WANTED) == [
        f"NetworkPolicy {place.namespace}/portal-models: spec.podSelector.matchLabels.nobody is has-this, "
        "and should not be there",
        f"NetworkPolicy {place.namespace}/portal-models: spec.ingress[0].ports has 2 entries, not 1",
    ]
    guard.apply(WANTED)
    assert guard.drift(WANTED) == []
    assert there(cluster, *what)["spec"]["podSelector"] == {"matchLabels": {"app": "model-server"}}


def test_object_of_somebody_else_with_our_name_is_refused_and_left_alone(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    theirs = {
        "apiVersion": AUTHORIZATION_POLICY.api_version,
        "kind": "AuthorizationPolicy",
        "metadata": {"name": f"portal-{place.namespace}", "namespace": AROUND},
        "spec": {"action": "DENY"},
    }
    cluster.api.apply(AUTHORIZATION_POLICY, theirs, "somebody")
    with pytest.raises(Refused, match="is not the portal's"):
        guard.apply(WANTED)
    assert set(everything(cluster, place)) == {f"AuthorizationPolicy {AROUND}/portal-{place.namespace}"}


def test_namespace_of_another_tenant_is_refused(cluster: TestCluster, place: IstioPlace) -> None:
    with cluster.namespace("globex") as theirs:
        rights.grant(cluster.api, [theirs])
        guard = IstioGuard(replace(place, namespace=theirs))
        with pytest.raises(Refused, match="so it is not acme's"):
            guard.apply(replace(WANTED, callers=Callers()))
        assert cluster.api.list(NETWORK_POLICY, theirs) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"selector": None}, "has no selector"),
        (
            {"servers": [{"port": {"number": 5432, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}]},
            "does not read HTTP on its port 5432",
        ),
    ],
    ids=["no selector", "TCP"],
)
def test_gateway_on_which_a_policy_would_do_something_else_is_refused(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace, changes: dict[str, object], why: str
) -> None:
    gateway(cluster, place, **changes)
    with pytest.raises(Refused, match=why):
        guard.apply(WANTED)
    assert everything(cluster, place) == {}


def test_gateway_that_is_missing_is_refused_by_name(place: IstioPlace) -> None:
    guard = IstioGuard(replace(place, istio_gateway=f"{AROUND}/vanished"))
    with pytest.raises(Refused, match=f"there is no Gateway {AROUND}/vanished"):
        guard.drift(WANTED)


def test_without_rights_at_the_gateway_only_what_needs_them_is_refused(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    elsewhere = IstioGuard(replace(place, istio_gateway="default/models"))
    unbound = replace(WANTED, callers=Callers())
    elsewhere.apply(unbound)
    assert elsewhere.drift(unbound) == []
    with pytest.raises(Refused, match="forbidden"):
        elsewhere.apply(WANTED)
    assert cluster.api.list(ROLE_BINDING, "default") == []


def test_weaknesses_name_what_protects_nobody(
    cluster: TestCluster, guard: IstioGuard, place: IstioPlace
) -> None:
    assert guard.weaknesses(WANTED) == []
    pod(cluster, place.namespace, 8000, sidecar=True, app="model-server")
    right = replace(WANTED, network=NetworkRules(models_port=8000))
    assert guard.weaknesses(right) == []
    (port,) = guard.weaknesses(WANTED)
    assert port.startswith("the NetworkPolicy opens port 8080, but the pods of models listen on 8000")
    pod(cluster, place.namespace, 8000, sidecar=False)
    label, sidecar = guard.weaknesses(right)
    assert label.startswith("the NetworkPolicy selects app=model-server, which 1 of 2 pods of models do not")
    assert sidecar.startswith("1 of 2 pods of models have no sidecar of Istio")
    inside = replace(NOTHING, callers=Callers(namespaces=("shop",)))
    assert any(said.startswith("no issuer of tokens is set") for said in guard.weaknesses(inside))


def test_guard_without_its_cluster_is_unreachable(cluster: TestCluster, place: IstioPlace) -> None:
    nobody = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.001))
    guard = IstioGuard(replace(place, cluster=nobody))
    for call in (guard.drift, guard.apply, guard.weaknesses):
        with pytest.raises(Unreachable):
            call(WANTED)
