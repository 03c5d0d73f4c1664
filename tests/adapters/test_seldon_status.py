"""What a person is told of a version, from what Kubernetes says of its objects."""

from collections.abc import Sequence
from typing import Any

import pytest

from releases.adapters import seldon_objects as seldon
from releases.adapters.seldon_objects import Manifest
from releases.adapters.target.pod_troubles import worst
from releases.adapters.target.seldon_status import Seen, pods_by_ref, ready_endpoints, status
from releases.domain.release import TargetState
from releases.ports import TargetStatus

REF, URI = "wine-1", "s3://models/acme/wine/1.4.0/d1"
AVAILABLE = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
UNAVAILABLE = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
PROGRESSING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
LATE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "x" has timed out progressing.',
}
REFUSED = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}


def around(uri: str = URI, image: str = "", told: dict[str, Any] | None = None) -> Manifest:
    container = {"name": "model", **({"image": image} if image else {})}
    predictor = {
        "name": "v1-4-0",
        "labels": {seldon.REF: REF},
        "annotations": {seldon.DIGEST: "d1"},
        "graph": {"modelUri": uri},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    return {"metadata": {"name": "wine"}, "spec": {"predictors": [predictor]}, "status": told or {}}


def workload(
    *conditions: dict[str, str],
    uri: str = URI,
    generation: int = 1,
    seen: int = 1,
    ready: int = 0,
    replicas: int = 1,
) -> Manifest:
    pod = {
        "initContainers": [{"name": "model-model-initializer", "args": [uri, "/mnt/models"]}],
        "containers": [{"name": "model", "image": "mlserver:1"}],
    }
    return {
        "metadata": {"name": "wine-v1-4-0-0-model", "generation": generation},
        "spec": {"replicas": replicas, "template": {"spec": pod}},
        "status": {"observedGeneration": seen, "readyReplicas": ready, "conditions": list(conditions)},
    }


def pod(conditions: Sequence[dict[str, str]] = (), **container: Any) -> Manifest:
    told = {"name": "model", "restartCount": 0, **container}
    return {
        "metadata": {"name": "wine-x", "labels": {seldon.REF: REF}},
        "status": {"conditions": list(conditions), "containerStatuses": [told]},
    }


def ended(restarts: int, **last: Any) -> dict[str, Any]:
    terminated = {"exitCode": 1, "reason": "Error", **last}
    return {
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": terminated},
    }


def told(
    found: Manifest | None, *pods: Manifest, endpoints: int = 0, of: Manifest | None = None
) -> TargetStatus:
    seen = Seen(
        namespace="acme",
        seldon_deployments=[of or around()],
        deployments={REF: found} if found else {},
        endpoints={"wine-v1-4-0": endpoints},
        pods=pods_by_ref(pods),
    )
    return status(REF, seen)


def test_version_nobody_deployed_is_absent() -> None:
    assert status("nobody", Seen("acme", [around()])).state is TargetState.ABSENT


@pytest.mark.parametrize(
    ("operator", "said"),
    [
        ({}, "has not looked at it yet"),
        ({"state": "Creating"}, "has made no Deployment yet"),
        ({"state": "Failed", "description": "forbidden: no"}, "has made no Deployment: forbidden: no"),
    ],
)
def test_version_without_a_deployment_says_what_the_operator_says(
    operator: dict[str, str], said: str
) -> None:
    found = told(None, of=around(told=operator))
    assert found.state is TargetState.STARTING
    assert said in found.detail
    assert found.address == "wine-v1-4-0.acme.svc.cluster.local:8000"


@pytest.mark.parametrize(
    ("found", "endpoints", "state"),
    [
        (workload(AVAILABLE, COMPLETE, ready=1), 1, TargetState.READY),
        (workload(AVAILABLE, COMPLETE, ready=1), 0, TargetState.STARTING),  # no request would arrive
        (
            workload(UNAVAILABLE, PROGRESSING, ready=1, replicas=2),
            1,
            TargetState.STARTING,
        ),  # its first rollout
        (
            workload(AVAILABLE, PROGRESSING, generation=2, ready=1),
            1,
            TargetState.STARTING,
        ),  # said of an older state
        (workload(UNAVAILABLE, COMPLETE, ready=2, replicas=9), 2, TargetState.READY),  # is being scaled up
        (workload(AVAILABLE, COMPLETE, generation=3, ready=1), 1, TargetState.READY),  # has just been scaled
        (workload(UNAVAILABLE, LATE), 0, TargetState.FAILED),
    ],
)
def test_ready_is_told_by_endpoints_and_one_complete_rollout(
    found: Manifest, endpoints: int, state: TargetState
) -> None:
    assert told(found, endpoints=endpoints).state is state


def test_ready_tells_how_many_replicas_are() -> None:
    assert told(workload(AVAILABLE, COMPLETE, ready=2, replicas=2), endpoints=2).detail == "ready"
    assert (
        told(workload(UNAVAILABLE, COMPLETE, ready=2, replicas=4), endpoints=2).detail
        == "ready: 2 of 4 replicas"
    )


def test_quota_is_told_and_becomes_final_with_the_deadline() -> None:
    waiting = told(workload(UNAVAILABLE, PROGRESSING, REFUSED))
    assert (waiting.state, waiting.detail) == (
        TargetState.STARTING,
        "its pods cannot be made: exceeded quota: small",
    )
    late = told(workload(UNAVAILABLE, LATE, REFUSED))
    assert late.state is TargetState.FAILED
    assert "did not become ready in time: its pods cannot be made: exceeded quota: small" in late.detail


def test_change_that_the_operator_has_not_made_yet_is_not_judged_by_the_old_pods() -> None:
    crashed = pod(**ended(9))
    found = told(workload(UNAVAILABLE, LATE), crashed, of=around(image="mlserver:2"))
    assert found.state is TargetState.STARTING
    assert "has not taken over the newest change" in found.detail


@pytest.mark.parametrize(("restarts", "state"), [(2, TargetState.STARTING), (3, TargetState.FAILED)])
def test_crashes_become_final_and_say_the_last_words(restarts: int, state: TargetState) -> None:
    words = "Traceback (most recent call last):\n  File x\nImportError: No module named 'vanished'\n\n"
    found = told(workload(UNAVAILABLE, PROGRESSING), pod(**ended(restarts, message=words)))
    assert found.state is state
    said = f"ended {restarts} times, last with exit code 1: ImportError: No module named 'vanished'"
    assert said in found.detail


def test_last_words_hide_what_looks_like_a_secret() -> None:
    words = "error: cannot log in at s3, password=hunter2"
    found = told(workload(UNAVAILABLE, PROGRESSING), pod(**ended(3, message=words)))
    assert "cannot log in" in found.detail
    assert "hunter2" not in found.detail


def test_too_little_memory_is_called_by_its_name() -> None:
    found = told(workload(UNAVAILABLE, PROGRESSING), pod(**ended(3, exitCode=137, reason="OOMKilled")))
    assert "needs more memory than its limit" in found.detail


@pytest.mark.parametrize(
    ("reason", "state"),
    [("ImagePullBackOff", TargetState.STARTING), ("InvalidImageName", TargetState.FAILED)],
)
def test_image_that_cannot_be_had_is_told(reason: str, state: TargetState) -> None:
    waiting = {"state": {"waiting": {"reason": reason, "message": "x:y"}}}
    found = told(workload(UNAVAILABLE, PROGRESSING), pod(**waiting))
    assert found.state is state
    assert f"the container model of wine-x cannot start: {reason}: x:y" in found.detail


def test_pod_that_no_node_takes_is_told() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    found = told(workload(UNAVAILABLE, PROGRESSING), pod([condition]))
    assert found.state is TargetState.STARTING
    assert found.detail == "no node takes its pod: 0/3 nodes are available: 3 Insufficient cpu."


def test_pods_that_are_only_on_their_way_are_no_trouble() -> None:
    starting = pod(state={"waiting": {"reason": "PodInitializing"}})
    assert worst([starting, pod(state={"running": {}})]) is None
    assert told(workload(UNAVAILABLE, PROGRESSING), starting).detail == "its pods are being made"


def test_final_trouble_is_told_before_others() -> None:
    harmless = pod(state={"waiting": {"reason": "ImagePullBackOff"}})
    found = worst([harmless, pod(**ended(5))])
    assert found is not None
    assert found.is_final


@pytest.mark.parametrize(
    ("uri", "digest"),
    [
        (URI, "d1"),
        (f"s3://other/{'e' * 64}", f"sha256:{'e' * 64}"),
        ("gs://theirs/model", "gs://theirs/model"),
    ],
)
def test_digest_is_that_of_what_the_pods_fetch(uri: str, digest: str) -> None:
    assert told(workload(AVAILABLE, COMPLETE, uri=uri, ready=1), endpoints=1).digest == digest


def test_endpoints_that_end_or_are_not_ready_take_no_requests() -> None:
    def one(**conditions: bool) -> dict[str, Any]:
        return {"conditions": conditions}

    slices = [
        {
            "metadata": {"labels": {seldon.SERVICE_NAME: "a"}},
            "endpoints": [one(ready=True), one(ready=False), one()],
        },
        {
            "metadata": {"labels": {seldon.SERVICE_NAME: "a"}},
            "endpoints": [one(ready=True, terminating=True)],
        },
        {"metadata": {"labels": {seldon.SERVICE_NAME: "b"}}, "endpoints": None},
    ]
    assert ready_endpoints(slices) == {"a": 2}
