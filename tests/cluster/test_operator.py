"""What Seldon's operator does that the portal counts on, or has to live with.

Against the stand-in these tests say what it plays; with KUBECONFIG they say it of the real one.
"""

import copy
from typing import Any

import pytest

from tests.cluster import pods
from tests.cluster.api import (
    AUTOSCALER,
    DEPLOYMENT,
    DESTINATION_RULE,
    SELDON_DEPLOYMENT,
    SERVICE,
    VIRTUAL_SERVICE,
    ApiError,
    until,
)
from tests.cluster.conftest import TestCluster

STABLE, CANDIDATE = "v1-0-0", "v1-1-0"


def predictor(name: str, traffic: int, **changes: Any) -> dict[str, Any]:
    """A version; its metrics port is its own, so that its place among the others does not matter."""
    container = {"name": "model", "ports": [{"name": "metrics", "containerPort": 6000, "protocol": "TCP"}]}
    return {
        "name": name,
        "traffic": traffic,
        "replicas": 1,
        "labels": {"mlops-portal.io/ref": name},
        "graph": {"name": "model", "implementation": "MLFLOW_SERVER", "modelUri": f"s3://models/{name}"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
        **changes,
    }


class Wine:
    """The SeldonDeployment `wine` in a namespace, changed as whoever owns it would."""

    def __init__(self, cluster: TestCluster, namespace: str) -> None:
        self.api, self.namespace = cluster.api, namespace

    def create(self, *predictors: dict[str, Any]) -> None:
        meta = {"name": "wine", "namespace": self.namespace}
        body = {"apiVersion": SELDON_DEPLOYMENT.api_version, "kind": SELDON_DEPLOYMENT.name}
        spec = {"protocol": "v2", "predictors": list(predictors)}
        self.api.create(SELDON_DEPLOYMENT, {**body, "metadata": meta, "spec": spec}, self.namespace)

    def change(self, *predictors: dict[str, Any]) -> None:
        body = {"spec": {"predictors": list(predictors)}}
        self.api.patch(SELDON_DEPLOYMENT, "wine", self.namespace, body)

    def state(self) -> str:
        found = self.api.get(SELDON_DEPLOYMENT, "wine", self.namespace) or {}
        return str((found.get("status") or {}).get("state"))

    def weights(self) -> dict[str, int] | None:
        """Subset -> weight, as the operator's VirtualService has them."""
        found = self.api.get(VIRTUAL_SERVICE, "wine", self.namespace)
        if not found:
            return None
        routes = found["spec"]["http"][0]["route"]
        return {each["destination"]["subset"]: each.get("weight", 0) for each in routes}

    def await_weights(self, **wanted: int) -> None:
        asked = {name.replace("_", "-"): weight for name, weight in wanted.items()}
        until(lambda: self.weights() == asked, f"weights {asked}")

    def uids(self, *refs: str) -> set[str]:
        return {pod["metadata"]["uid"] for ref in refs for pod in pods.running(self.api, self.namespace, ref)}


@pytest.fixture
def wine(cluster: TestCluster, namespace: str) -> Wine:
    """Two versions at 90/10, both serving."""
    made = Wine(cluster, namespace)
    made.create(predictor(STABLE, 90), predictor(CANDIDATE, 10))
    made.await_weights(v1_0_0=90, v1_1_0=10)
    until(lambda: made.state() == "Available", "the operator has written down what it made")
    return made


def test_weights_change_without_restarting_a_pod(wine: Wine) -> None:
    before = wine.uids(STABLE, CANDIDATE)
    for share in (50, 100, 0):
        wine.change(predictor(STABLE, 100 - share), predictor(CANDIDATE, share))
        wine.await_weights(v1_0_0=100 - share, v1_1_0=share)
    assert wine.uids(STABLE, CANDIDATE) == before


def test_removed_predictor_takes_all_but_its_destination_rule_with_it_and_restarts_nobody(wine: Wine) -> None:
    before = wine.uids(CANDIDATE)
    wine.change(predictor(CANDIDATE, 100))
    for kind, name in ((DEPLOYMENT, f"wine-{STABLE}-0-model"), (SERVICE, f"wine-{STABLE}")):
        until(lambda k=kind, n=name: wine.api.get(k, n, wine.namespace) is None, f"{name} is gone")  # type: ignore[misc]
    assert wine.api.get(DESTINATION_RULE, f"wine-{STABLE}", wine.namespace)
    assert wine.weights() == {CANDIDATE: 100}
    assert wine.uids(CANDIDATE) == before


def test_without_a_metrics_port_of_its_own_a_version_restarts_when_an_earlier_one_goes(wine: Wine) -> None:
    """Why the portal names the port: the operator counts them over all predictors."""
    numbered = [copy.deepcopy(predictor(STABLE, 90)), copy.deepcopy(predictor(CANDIDATE, 10))]
    for each in numbered:
        del each["componentSpecs"]
    wine.change(*numbered)
    until(lambda: wine.state() == "Creating", "the change is seen")
    until(lambda: wine.state() == "Available", "both serve again")
    before = wine.uids(CANDIDATE)
    wine.change({**numbered[1], "traffic": 100})
    until(lambda: not wine.uids(CANDIDATE) & before, "the candidate has been restarted")


def test_version_that_crashes_freezes_the_weights_until_it_serves_again(wine: Wine) -> None:
    """Why a rollback must not wait for this VirtualService."""
    (pod,) = pods.running(wine.api, wine.namespace, CANDIDATE)
    pods.patch(wine.api, pod, pods.crashing(4, "out of memory"))
    until(lambda: wine.state() == "Creating", "the crash is seen")
    wine.change(predictor(STABLE, 100), predictor(CANDIDATE, 0))
    with pytest.raises(AssertionError, match="weights"):
        until(lambda: wine.weights() == {STABLE: 100, CANDIDATE: 0}, "weights", seconds=2)
    wine.change(predictor(STABLE, 100))
    wine.await_weights(v1_0_0=100)


def test_weights_written_into_its_own_virtual_service_are_undone(wine: Wine) -> None:
    found = wine.api.get(VIRTUAL_SERVICE, "wine", wine.namespace)
    assert found
    found["spec"]["http"][0]["route"][0]["weight"] = 1
    found["spec"]["http"][0]["route"][1]["weight"] = 99
    wine.api.replace(VIRTUAL_SERVICE, found)
    wine.await_weights(v1_0_0=90, v1_1_0=10)


def test_behaviour_of_its_autoscaler_is_thrown_away(wine: Wine) -> None:
    """Why the portal makes an autoscaler of its own, under another name."""
    target = {"type": "Utilization", "averageUtilization": 70}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    scaled = predictor(CANDIDATE, 10)
    scaled["componentSpecs"][0]["hpaSpec"] = {"minReplicas": 1, "maxReplicas": 3, "metricsv2": metrics}
    wine.change(predictor(STABLE, 90), scaled)
    name = f"wine-{CANDIDATE}-0-model"
    until(lambda: wine.api.get(AUTOSCALER, name, wine.namespace), "autoscaler")
    wine.api.patch(
        AUTOSCALER, name, wine.namespace, {"spec": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}
    )
    wine.change(predictor(STABLE, 80), {**scaled, "traffic": 20})
    until(
        lambda: "behavior" not in (wine.api.get(AUTOSCALER, name, wine.namespace) or {})["spec"],
        "the behaviour is gone",
    )


def test_version_without_room_for_a_pod_leaves_its_deployment_behind(
    cluster: TestCluster, namespace: str
) -> None:
    """Why the portal looks for Deployments without a predictor."""
    wine = Wine(cluster, namespace)
    wine.create(predictor(STABLE, 100))
    wine.await_weights(v1_0_0=100)
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
    cluster.api.call("POST", f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    wine.change(predictor(STABLE, 100), predictor(CANDIDATE, 0))
    name = f"wine-{CANDIDATE}-0-model"
    refused = until(lambda: _refusal(cluster, namespace, name), "the quota refuses the pod")
    assert "exceeded quota: full" in refused
    wine.change(predictor(STABLE, 100))
    until(lambda: wine.state() == "Available", "the rest serves")
    until(lambda: cluster.api.get(SERVICE, f"wine-{CANDIDATE}", namespace) is None, "its Service is gone")
    assert cluster.api.get(DEPLOYMENT, name, namespace)


def _refusal(cluster: TestCluster, namespace: str, name: str) -> str | None:
    found = cluster.api.get(DEPLOYMENT, name, namespace) or {}
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((each["message"] for each in conditions if each["type"] == "ReplicaFailure"), None)


@pytest.mark.parametrize(
    ("predictors", "said"),
    [
        (
            [predictor(STABLE, 90), predictor(CANDIDATE, 5)],
            'spec: Invalid value: "v1-0-0": Traffic must sum to 100 for multiple predictors',
        ),
        ([predictor(STABLE, 60)], "Traffic must sum be 100 for a single predictor when set"),
        ([predictor(STABLE, 100), predictor(STABLE, 0)], "Duplicate predictor name"),
        ([predictor(STABLE, 0, shadow=True)], "Shadow can not exist as only predictor"),
        (
            [
                predictor(STABLE, 100),
                predictor(CANDIDATE, 0, shadow=True),
                predictor("v2-0-0", 0, shadow=True),
            ],
            "Multiple shadows are not allowed",
        ),
        (
            [predictor(STABLE, 100, graph={"name": "model", "implementation": "MLFLOW_SERVER"})],
            "Predictive unit modelUri required when using standalone servers",
        ),
    ],
)
def test_webhook_refuses_and_says_why(
    cluster: TestCluster, namespace: str, predictors: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ApiError) as refused:
        Wine(cluster, namespace).create(*predictors)
    assert refused.value.status == 422
    assert said in str(refused.value)
    assert refused.value.content["details"]["causes"][0]["message"].endswith(said.rpartition(": ")[2])


@pytest.mark.parametrize(
    "predictors",
    [
        [predictor(STABLE, 100)],
        [predictor(STABLE, 0)],
        [predictor(STABLE, 100), predictor(CANDIDATE, 0)],
        [predictor(STABLE, 100), predictor(CANDIDATE, 30, shadow=True)],
    ],
)
def test_webhook_accepts_whole_splits(
    cluster: TestCluster, namespace: str, predictors: list[dict[str, Any]]
) -> None:
    Wine(cluster, namespace).create(*predictors)
