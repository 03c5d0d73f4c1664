"""Examining a connection, and the rights of deploy/rbac.yaml: enough for the portal, and not more."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from releases.adapters.connection.kubernetes import KubernetesConnection, needed
from releases.adapters.kubernetes_api import (
    CONFIG_MAP,
    DEPLOYMENT,
    GATEWAY,
    NAMESPACE,
    POD,
    SECRET,
    Cluster,
    ClusterConfig,
    Forbidden,
)
from releases.adapters.seldon_place import SeldonPlace
from releases.ports import Finding, Unreachable
from tests.cluster import rights
from tests.cluster.api import CLUSTER_ROLE, ROLE_BINDING
from tests.cluster.conftest import TENANT, TestCluster

SECRET_NAME = "mlops-portal-artifacts"
GATEWAY_NAMESPACE, GATEWAY_NAME = "istio-system", "seldon-gateway"


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> Iterator[SeldonPlace]:
    """An environment for which all has been prepared."""
    rights.grant(cluster.api, [namespace])
    cluster.api.create(SECRET, {"metadata": {"name": SECRET_NAME}}, namespace)
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    body = {
        "apiVersion": GATEWAY.api_version,
        "kind": "Gateway",
        "metadata": {"name": GATEWAY_NAME, "namespace": GATEWAY_NAMESPACE},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": servers},
    }
    cluster.api.apply(GATEWAY, body, "tests")
    config = ClusterConfig("test", str(cluster.portal))
    yield SeldonPlace(Cluster(config), namespace, TENANT, "production", "s3://models", SECRET_NAME)
    cluster.api.delete(GATEWAY, GATEWAY_NAME, GATEWAY_NAMESPACE)


def examined(place: SeldonPlace) -> dict[str, Finding]:
    def away() -> None:
        raise Unreachable("the artifact store does not answer")

    asks = {"artifact store": away, "metrics": lambda: None}
    return {found.name: found for found in KubernetesConnection(place, asks).examine()}


def test_everything_that_is_there_is_good(place: SeldonPlace) -> None:
    found = examined(place)
    assert {name for name, one in found.items() if not one.is_good} == {"artifact store"}
    assert found["cluster"].said.startswith("test answers: Kubernetes v1.")
    assert found["artifact store"].said == "the artifact store does not answer"
    assert found["metrics"].is_good


def test_each_missing_right_is_named(cluster: TestCluster, place: SeldonPlace) -> None:
    cluster.api.delete(ROLE_BINDING, "mlops-portal", place.namespace)
    found = examined(place)
    assert not found["rights"].is_good
    for right in needed(place):
        assert (right.said in found["rights"].said) == (right.namespace == place.namespace)
    assert not found["namespace"].is_good
    assert found["artifacts secret"].is_good  # may be there: it is not for the portal to know


def test_missing_objects_are_named(cluster: TestCluster, place: SeldonPlace) -> None:
    cluster.api.delete(SECRET, SECRET_NAME, place.namespace)
    found = examined(replace(place, istio_gateway=f"{GATEWAY_NAMESPACE}/another"))
    assert not found["artifacts secret"].is_good
    assert "has no secret mlops-portal-artifacts" in found["artifacts secret"].said
    assert not found["gateway"].is_good
    assert "no Gateway another" in found["gateway"].said


def test_namespace_of_another_tenant_is_not_good(cluster: TestCluster, place: SeldonPlace) -> None:
    cluster.api.patch(
        NAMESPACE, place.namespace, None, {"metadata": {"labels": {"mlops-portal.io/tenant": "globex"}}}
    )
    found = examined(place)["namespace"]
    assert not found.is_good
    assert f"kubectl label namespace {place.namespace} mlops-portal.io/tenant=acme" in found.said


def test_cluster_that_does_not_answer_is_told_and_the_rest_is_still_asked(
    cluster: TestCluster, place: SeldonPlace
) -> None:
    away = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.0001))
    found = examined(replace(place, cluster=away))
    assert set(found) == {"cluster", "artifact store", "metrics"}
    assert not found["cluster"].is_good


def test_rights_end_where_the_file_ends(cluster: TestCluster, place: SeldonPlace) -> None:
    """The portal's own client, with exactly the rights of deploy/rbac.yaml, asks for what it never needs."""
    portal, own = place.cluster, place.namespace
    cluster.api.create(SECRET, {"metadata": {"name": "another"}}, own)
    with cluster.namespace("globex") as theirs:
        refused = {
            "secrets of its own namespace": lambda: portal.list(SECRET, own),
            "another secret": lambda: portal.get(SECRET, "another", own),
            "making a secret": lambda: portal.create(SECRET, {"metadata": {"name": "x"}}, own),
            "ending a pod": lambda: portal.delete(POD, "x", own),
            "making a pod": lambda: portal.create(POD, {"metadata": {"name": "x"}}, own),
            "making a Deployment": lambda: portal.create(DEPLOYMENT, {"metadata": {"name": "x"}}, own),
            "pods of another namespace": lambda: portal.list(POD, theirs),
            "pods of all namespaces": lambda: portal.list(POD, None),
            "another namespace": lambda: portal.get(NAMESPACE, theirs),
            "all namespaces": lambda: portal.list(NAMESPACE, None),
            "a namespace of its own": lambda: portal.create(NAMESPACE, {"metadata": {"name": "x"}}),
            "giving itself rights": lambda: portal.create(CLUSTER_ROLE, {"metadata": {"name": "x"}}),
            "settings of its own namespace": lambda: portal.list(CONFIG_MAP, own),
            "other settings of the operator": lambda: portal.get(CONFIG_MAP, "x", "seldon-system"),
            "pods of the gateway": lambda: portal.list(POD, GATEWAY_NAMESPACE),
        }
        for what, ask in refused.items():
            with pytest.raises(Forbidden, match="cannot"):
                pytest.fail(f"{what} was allowed: {ask()}")


def test_own_label_cannot_be_set(place: SeldonPlace) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": place.namespace, "labels": {"mlops-portal.io/tenant": "globex"}},
    }
    with pytest.raises(Forbidden, match='cannot patch resource "namespaces"'):
        place.cluster.apply(body)
