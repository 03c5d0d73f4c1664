"""The metric source `executor` on a real API server: pods found through EndpointSlices, asked through a
proxy, with the rights of deploy/rbac.yaml."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releases.adapters.kubernetes_api import POD, Cluster, ClusterConfig
from releases.adapters.metrics.executor import ExecutorMetrics, ExecutorMetricsConfig
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.judge import Totals, increment
from releases.domain.release import TargetState
from releases.ports import Counters, Deployment, Missing
from tests.cluster import rights
from tests.cluster.api import until
from tests.cluster.conftest import TENANT, TestCluster
from tests.cluster.executors import INFER, Destination, Executors

REQUEST = json.dumps({"inputs": [{"shape": [1, 1]}]}).encode()
STABLE, CANDIDATE = "acme-production-wine-v1-3-2-aaaaaaaa", "acme-production-wine-v1-4-0-bbbbbbbb"
VERSIONS = {STABLE: "1.3.2", CANDIDATE: "1.4.0"}


@pytest.fixture
def executors(cluster: TestCluster) -> Iterator[Executors]:
    made = Executors(cluster.api)
    yield made
    made.stop()


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    rights.grant(cluster.api, [namespace])
    config = ClusterConfig("test", str(cluster.portal))
    return SeldonPlace(Cluster(config), namespace, TENANT, "production", "s3://models/x", "s3")


@pytest.fixture
def metrics(place: SeldonPlace, executors: Executors) -> ExecutorMetrics:
    config = ExecutorMetricsConfig(place.namespace, executors.proxy, seconds=5)
    return ExecutorMetrics(config, place.cluster)


def serve(place: SeldonPlace, *refs: str) -> None:
    """Deploy versions, and wait until they are ready."""
    target = SeldonTarget(place)
    for ref in refs:
        digest = "sha256:" + ref[-1] * 64
        target.ensure(Deployment(ref, TENANT, "production", "wine", VERSIONS[ref], digest, Path()))
    until(
        lambda: all(one.state is TargetState.READY for one in target.status(refs).values()),
        f"{refs} are ready",
    )


def ask(executors: Executors, namespace: str, ref: str, times: int = 1) -> None:
    """So many requests to a version, from when its pods answer."""
    to = Destination(namespace, f"wine-v{VERSIONS[ref].replace('.', '-')}")
    for _ in range(times):
        until(lambda: executors.infer(to, INFER, REQUEST).status != 503, f"{ref} answers")


def pods(cluster: TestCluster, place: SeldonPlace, ref: str, number: int) -> list[dict[str, Any]]:
    """The pods of a deployment as soon as so many of them are ready."""

    def found() -> list[dict[str, Any]] | None:
        every = cluster.api.list(POD, place.namespace, f"mlops-portal.io/ref={ref}")
        kept = [one for one in every if not one["metadata"].get("deletionTimestamp")]
        ready = [one for one in kept if one["status"].get("phase") == "Running"]
        return ready if len(ready) == len(kept) == number else None

    return until(found, f"{number} pods of {ref}")


def counters(metrics: ExecutorMetrics, ref: str) -> Counters | None:
    seen = metrics.read([ref])[ref]
    return seen if isinstance(seen, Counters) else None


def totals(seen: Counters) -> Totals:
    return Totals(seen.at, seen.ok, seen.client_errors, seen.errors, series=seen.series)


def test_requests_of_two_versions_are_counted_apart(
    place: SeldonPlace, metrics: ExecutorMetrics, executors: Executors
) -> None:
    serve(place, STABLE, CANDIDATE)
    executors.errors["v1-4-0"] = 0.5
    ask(executors, place.namespace, STABLE, 6)
    ask(executors, place.namespace, CANDIDATE, 4)
    seen = metrics.read([STABLE, CANDIDATE, "never-heard-of"])
    stable, candidate = seen[STABLE], seen[CANDIDATE]
    assert isinstance(stable, Counters)
    assert isinstance(candidate, Counters)
    assert (stable.ok, stable.errors, sum(stable.latency_ms)) == (6, 0, 6)
    assert (candidate.ok, candidate.errors, sum(candidate.latency_ms)) == (2, 2, 4)
    assert seen["never-heard-of"] is Missing.NO_DATA


def test_version_without_requests_is_zero_and_one_without_pods_is_no_data(
    cluster: TestCluster, place: SeldonPlace, metrics: ExecutorMetrics
) -> None:
    assert metrics.read([STABLE]) == {STABLE: Missing.NO_DATA}
    serve(place, STABLE)
    seen = until(lambda: counters(metrics, STABLE), "counters of a new version")
    assert (seen.ok, seen.client_errors, seen.errors) == (0, 0, 0)


def test_counts_stay_comparable_until_a_pod_comes_or_goes(
    cluster: TestCluster, place: SeldonPlace, metrics: ExecutorMetrics, executors: Executors
) -> None:
    serve(place, STABLE)
    first = until(lambda: counters(metrics, STABLE), "counters of a new version")
    ask(executors, place.namespace, STABLE, 3)
    second = counters(metrics, STABLE)
    assert second
    step = increment(totals(first), totals(second))
    assert step is not None
    assert (step.requests, step.continuous) == (3, True)

    [old] = pods(cluster, place, STABLE, 1)
    cluster.api.delete(POD, old["metadata"]["name"], place.namespace)
    until(
        lambda: pods(cluster, place, STABLE, 1)[0]["metadata"]["uid"] != old["metadata"]["uid"],
        "another pod",
    )
    third = until(
        lambda: (seen := counters(metrics, STABLE)) and seen.series != second.series and seen,
        "another sum",
    )
    assert third.ok == 0
    assert increment(totals(second), totals(third)) is None


def test_api_server_that_hangs_makes_all_unreachable_until_it_is_back(
    cluster: TestCluster, place: SeldonPlace, executors: Executors
) -> None:
    if cluster.box is None:
        pytest.skip("a real cluster is not to be stopped")
    serve(place, STABLE)
    impatient = Cluster(ClusterConfig("test", str(cluster.portal), seconds=0.5))
    metrics = ExecutorMetrics(ExecutorMetricsConfig(place.namespace, executors.proxy, 5), impatient)
    until(lambda: counters(metrics, STABLE), "counters of a new version")
    cluster.box.pause()
    try:
        assert metrics.read([STABLE, CANDIDATE]) == {
            STABLE: Missing.UNREACHABLE,
            CANDIDATE: Missing.UNREACHABLE,
        }
    finally:
        cluster.box.go_on()
    assert until(lambda: counters(metrics, STABLE), "counters again").ok == 0
