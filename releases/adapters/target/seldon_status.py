"""What the objects of a namespace tell of its versions. Pure: objects in, statuses out.

A version is ready while its Service has ready endpoints and its Deployment has been complete once; that a
Deployment which is being scaled up is "not available" until the last new pod is ready does not matter to it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from releases.adapters import seldon_objects as seldon
from releases.adapters.seldon_objects import Manifest, Read
from releases.adapters.target.pod_troubles import Trouble, worst
from releases.domain.manifests.autoscaling import autoscaling
from releases.domain.release import TargetState
from releases.ports import TargetStatus

INITIALIZER = f"{seldon.GRAPH_NODE}-model-initializer"


@dataclass(frozen=True, slots=True)
class Seen:
    """All of a namespace, read at one time."""

    namespace: str
    seldon_deployments: Sequence[Manifest]
    deployments: Mapping[str, Manifest] = field(default_factory=dict)  # ref -> Deployment
    autoscalers: Mapping[str, Manifest] = field(default_factory=dict)  # ref -> HorizontalPodAutoscaler
    endpoints: Mapping[str, int] = field(default_factory=dict)  # Service -> ready endpoints
    pods: Mapping[str, tuple[Manifest, ...]] = field(default_factory=dict)  # ref -> pods


def by_ref(found: Iterable[Manifest]) -> dict[str, Manifest]:
    """Objects by the ref in their labels."""
    return {seldon.label(one).get(seldon.REF, ""): one for one in found}


def pods_by_ref(found: Iterable[Manifest]) -> dict[str, tuple[Manifest, ...]]:
    """Pods by the ref in their labels, without those that are on their way out."""
    grouped: dict[str, list[Manifest]] = defaultdict(list)
    for pod in found:
        if not pod["metadata"].get("deletionTimestamp"):
            grouped[seldon.label(pod).get(seldon.REF, "")].append(pod)
    return {ref: tuple(pods) for ref, pods in grouped.items()}


def ready_endpoints(slices: Iterable[Manifest]) -> dict[str, int]:
    """Service -> endpoints that take requests."""
    found: dict[str, int] = defaultdict(int)
    for one in slices:
        service = seldon.label(one).get(seldon.SERVICE_NAME, "")
        for endpoint in one.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            found[service] += conditions.get("ready") is not False and not conditions.get("terminating")
    return dict(found)


def status(ref: str, seen: Seen) -> TargetStatus:
    """Of one version."""
    for around in seen.seldon_deployments:
        predictor = seldon.predictor(around, ref)
        if predictor is not None:
            return _of_predictor(ref, around, predictor, seen)
    return TargetStatus(TargetState.ABSENT, "not deployed")


def _of_predictor(ref: str, around: Read, predictor: Read, seen: Seen) -> TargetStatus:
    name, workload = seldon.name(around), seen.deployments.get(ref)
    autoscaler = seen.autoscalers.get(ref)
    known = TargetStatus(
        TargetState.STARTING,
        "",
        seldon.address(name, str(predictor["name"]), seen.namespace),
        _served(predictor, workload),
        autoscaling(autoscaler) if autoscaler else None,
    )
    if workload is None:
        return replace(known, detail=_nothing_made(around))
    endpoints = seen.endpoints.get(seldon.service_name(name, str(predictor["name"])), 0)
    if endpoints and _has_been_complete(workload):
        return replace(known, state=TargetState.READY, detail=_ready(workload))
    if not _is_taken_over(predictor, workload):
        return replace(known, detail="Seldon's operator has not taken over the newest change yet")
    trouble = _trouble(workload, seen.pods.get(ref, ()))
    state = TargetState.FAILED if trouble.is_final else TargetState.STARTING
    return replace(known, state=state, detail=trouble.said)


def _nothing_made(around: Read) -> str:
    told = around.get("status") or {}
    if told.get("description"):
        return f"Seldon's operator has made no Deployment: {' '.join(str(told['description']).split())}"
    if told:
        return "Seldon's operator has made no Deployment yet"
    return "Seldon's operator has not looked at it yet: does it run, and does it watch this namespace?"


def _has_been_complete(workload: Read) -> bool:
    """Once, or is available in its newest state; what is scaled later stays complete."""
    is_newest = _generation(workload) >= int(workload["metadata"].get("generation") or 0)
    progressing, available = _condition(workload, "Progressing"), _condition(workload, "Available")
    is_complete = progressing.get("reason") == "NewReplicaSetAvailable"
    return is_complete or (is_newest and available.get("status") == "True")


def _ready(workload: Read) -> str:
    told = workload.get("status") or {}
    ready, wanted = int(told.get("readyReplicas") or 0), int(workload["spec"].get("replicas") or 1)
    return "ready" if ready >= wanted else f"ready: {ready} of {wanted} replicas"


def _trouble(workload: Read, pods: Iterable[Read]) -> Trouble:
    """The most telling of what keeps it from being ready."""
    progressing, refused = _condition(workload, "Progressing"), _condition(workload, "ReplicaFailure")
    found = worst(pods)
    if refused.get("status") == "True":
        found = Trouble(f"its pods cannot be made: {_text(refused)}")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        why = found.said if found else _text(progressing)
        return Trouble(f"it did not become ready in time: {why}", is_final=True)
    if found is not None:
        return found
    if _generation(workload) < int(workload["metadata"].get("generation") or 0):
        return Trouble("its Deployment has just been changed")
    return Trouble("its pods are being made")


def _generation(workload: Read) -> int:
    return int((workload.get("status") or {}).get("observedGeneration") or 0)


def _condition(workload: Read, kind: str) -> Mapping[str, str]:
    conditions = (workload.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _text(condition: Mapping[str, str]) -> str:
    return " ".join((condition.get("message") or condition.get("reason") or "").split())


def _served(predictor: Read, workload: Read | None) -> str | None:
    """The digest of what is really fetched: that of the annotation only if the place of the artifact says so,
    too."""
    said = seldon.digest(predictor)
    uri = (_fetched(workload) if workload else "") or str(predictor["graph"].get("modelUri") or "")
    last = uri.rstrip("/").rpartition("/")[2]
    if said is not None and last == said.removeprefix("sha256:"):
        return said
    return f"sha256:{last}" if len(last) == 64 else uri


def _fetched(workload: Read) -> str:
    """Where the pods fetch their model from."""
    pod = workload["spec"]["template"]["spec"]
    for container in pod.get("initContainers") or []:
        if container.get("name") == INITIALIZER and container.get("args"):
            return str(container["args"][0])
    return ""


def _is_taken_over(predictor: Read, workload: Read) -> bool:
    """Whether the Deployment is made of the predictor as it is now, as far as one can see."""
    pod = workload["spec"]["template"]["spec"]
    images = {one.get("name"): one.get("image") for one in pod.get("containers") or []}
    for part in predictor.get("componentSpecs") or []:
        for container in (part.get("spec") or {}).get("containers") or []:
            if container.get("image") and images.get(container.get("name")) != container["image"]:
                return False
    return _fetched(workload) == str(predictor["graph"].get("modelUri"))
