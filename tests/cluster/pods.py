"""What happens to the pods of a version, where no kubelet runs: kwok makes every pod ready, and leaves later
patches of a pod's status alone."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.cluster.api import POD, Api, ApiError, until

Container = Mapping[str, Any]


def of(api: Api, namespace: str, ref: str) -> list[dict[str, Any]]:
    """The pods of a version that are not on their way out."""
    found = api.list(POD, namespace, f"mlops-portal.io/ref={ref}")
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def running(api: Api, namespace: str, ref: str) -> list[dict[str, Any]]:
    """The same, once there is one and all of them run."""
    return until(
        lambda: (found := of(api, namespace, ref)) and all(_runs(pod) for pod in found) and found,
        f"pods of {ref} run",
    )


def crash(api: Api, namespace: str, ref: str) -> bool:
    """Whether there are pods of the version, and all of them have ended at least once."""
    found = [
        status for pod in of(api, namespace, ref) for status in pod["status"].get("containerStatuses", [])
    ]
    model = [status for status in found if status["name"] == "model"]
    return bool(model) and all(status["restartCount"] for status in model)


def crashing(restarts: int, words: str, exit_code: int = 1, reason: str = "Error") -> Container:
    """The container `model` after so many ends, waiting to be started again."""
    ended = {"exitCode": exit_code, "reason": reason, "message": words, "containerID": "kwok://x"}
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}
    return {"restartCount": restarts, "state": state, "lastState": {"terminated": ended}}


def waiting(reason: str, message: str) -> Container:
    """The container `model`, which cannot be started."""
    return {"restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}


@contextlib.contextmanager
def held(api: Api, namespace: str, ref: str, container: Container) -> Iterator[None]:
    """While this lasts, every pod of the version has its container `model` in this state, new ones too."""
    ending = threading.Event()

    def hold() -> None:
        done: set[str] = set()
        while not ending.wait(0.05):
            with contextlib.suppress(ApiError):
                for pod in of(api, namespace, ref):
                    if pod["metadata"]["uid"] not in done and _runs(pod):
                        patch(api, pod, container)
                        done.add(pod["metadata"]["uid"])

    thread = threading.Thread(target=hold, name=f"pods-of-{ref}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(10)


def patch(api: Api, pod: Mapping[str, Any], container: Container) -> None:
    """The container `model` of a pod gets this state, and the pod is not ready."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = pod["status"]
    told = [
        {**one, **container, "ready": False, "started": False} if one["name"] == "model" else one
        for one in status["containerStatuses"]
    ]
    gone = {"Ready": "False", "ContainersReady": "False"}
    conditions = [
        {**one, "status": gone[one["type"]], "lastTransitionTime": at} if one["type"] in gone else one
        for one in status["conditions"]
    ]
    meta = pod["metadata"]
    changed = {"status": {"conditions": conditions, "containerStatuses": told}}
    api.patch(POD, meta["name"], meta["namespace"], changed, "status")


def _runs(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
