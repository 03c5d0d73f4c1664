"""What the target `seldon` leaves alone or refuses, and that it loses nobody's change."""

from dataclasses import replace

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import AUTOSCALER, Manifest
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.autoscaling import Autoscaling
from releases.ports import Refused
from tests.cluster import rights
from tests.cluster.api import SELDON_DEPLOYMENT
from tests.cluster.conftest import TestCluster
from tests.cluster.wines import production, ready, seldon_deployment, set_traffic, version


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    return production(cluster, namespace)


@pytest.fixture
def target(place: SeldonPlace) -> SeldonTarget:
    return SeldonTarget(place)


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
