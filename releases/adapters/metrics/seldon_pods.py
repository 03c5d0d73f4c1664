"""What the pods of Seldon's predictors have counted, and which pods these are.

A deployment's counts are the sums over its pods. Pods come, go and begin anew, and then a sum says nothing
against the one before: so it carries the names of all that was added up (`Counters.series`), and whoever
compares two sums looks at these first. Nothing is remembered between two readings, because every worker has
its own memory. Knows how counts look in the text and in the queries of Prometheus, not how they are fetched.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import ENDPOINT_SLICE, SELDON_DEPLOYMENT, Cluster
from releases.adapters.seldon_objects import Read
from releases.ports import Counters

HTTP = "http"  # the port of a predictor's Service at which the executor answers
LARGEST_COUNT = 2**53  # beyond it a float is no count any more
MOST_BOUNDS = 40
# What gRPC calls a caller's own mistake; "OK" apart, all other words are errors, as 5xx are.
CLIENT_ERRORS = frozenset(
    (
        "Canceled",
        "InvalidArgument",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "FailedPrecondition",
        "OutOfRange",
        "Unauthenticated",
    )
)


@dataclass(frozen=True, slots=True)
class ServingPod:
    """A pod of a predictor. `address` is host:port of its executor; one that is not ready gets no requests,
    but may still say what it has counted."""

    name: str
    uid: str
    address: str
    is_ready: bool


@dataclass(slots=True)
class PodCounts:
    """What one process has counted since it began. `at_most` counts latencies up to a bound in seconds,
    those of all lower bounds included; `began` is the moment of its start, 0 when it does not say."""

    began: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    at_most: Counter[float] = field(default_factory=Counter)

    def count(self, code: str, requests: float) -> None:
        """So many requests ended with an HTTP status or a word of gRPC."""
        self.outcomes[outcome(code)] += whole(requests)

    def time(self, bound: str, requests: float, scale: float = 1.0) -> None:
        """So many took at most `bound` (times `scale` seconds)."""
        seconds = float(bound) * scale
        if math.isnan(seconds):
            raise ValueError("a latency bucket without a bound")
        self.at_most[seconds] += whole(requests)


def outcome(code: str) -> str:
    """The field of `Counters` in which a request with this end is counted. Istio's 0 is an error: the
    caller went away before anything was answered."""
    if code.isdigit():
        status = int(code)
        return "ok" if 0 < status < 400 else "client_errors" if 400 <= status < 500 else "errors"
    return "ok" if code == "OK" else "client_errors" if code in CLIENT_ERRORS else "errors"


def whole(value: float) -> int:
    """A count out of a float; raises `ValueError` for what no process can have counted."""
    if not (math.isfinite(value) and 0 <= value <= LARGEST_COUNT and value == int(value)):
        raise ValueError(f"{value} is no count")
    return int(value)


def summed(at: float, counted: Mapping[str, PodCounts]) -> Counters:
    """The sums over the pods (uid -> its counts). Raises `ValueError` when a histogram contradicts itself."""
    outcomes: Counter[str] = Counter()
    for one in counted.values():
        outcomes += one.outcomes
    bounds, latencies = _latencies([one for one in counted.values() if one.at_most])
    return Counters(
        at=at,
        ok=outcomes["ok"],
        client_errors=outcomes["client_errors"],
        errors=outcomes["errors"],
        bounds_ms=bounds,
        latency_ms=latencies,
        series=_fingerprint(counted),
    )


def _latencies(counted: Iterable[PodCounts]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Bounds in ms and disjoint counts; empty when the pods' buckets cannot be added up."""
    sums: Counter[float] = Counter()
    layouts = set()
    for one in counted:
        layouts.add(frozenset(one.at_most))
        for bound, requests in one.at_most.items():
            sums[bound] += requests
    ordered = sorted(sums)
    if len(layouts) != 1 or ordered[-1] != math.inf or len(ordered) > MOST_BOUNDS + 1:
        return (), ()
    below = [0, *(sums[bound] for bound in ordered)]
    disjoint = tuple(more - less for less, more in pairwise(below))
    if min(disjoint) < 0:
        raise ValueError("the buckets of a histogram shrink")
    return tuple(round(bound * 1000, 6) for bound in ordered[:-1]), disjoint


def _fingerprint(counted: Mapping[str, PodCounts]) -> str:
    """Another one as soon as another pod counts, or one has begun anew."""
    said = "\n".join(f"{uid} {one.began:.3f}" for uid, one in sorted(counted.items()))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def serving_pods(cluster: Cluster, namespace: str, refs: Iterable[str]) -> dict[str, list[ServingPod]]:
    """The pods behind the Service of each deployment, ready or not; an empty list for one that the cluster
    does not know. Raises `AdapterError`."""
    wanted = set(refs)
    services: dict[str, str] = {}
    for found in cluster.list(SELDON_DEPLOYMENT, namespace):
        for predictor in seldon.predictors(found):
            if seldon.ref(predictor) in wanted:
                service = seldon.service_name(seldon.name(found), str(predictor["name"]))
                services[service] = seldon.ref(predictor)
    pods: dict[str, dict[str, ServingPod]] = {ref: {} for ref in wanted}
    for piece in cluster.list(ENDPOINT_SLICE, namespace, seldon.SELDON_ID) if services else ():
        ref = services.get(seldon.label(piece).get(seldon.SERVICE_NAME, ""))
        if ref is not None:
            for pod in _pods(piece):
                pods[ref].setdefault(pod.uid, pod)  # one with two addresses is in two slices
    return {ref: list(found.values()) for ref, found in pods.items()}


def _pods(piece: Read) -> Iterable[ServingPod]:
    """The pods in one EndpointSlice."""
    port = next((one["port"] for one in piece.get("ports") or () if one.get("name") == HTTP), None)
    for endpoint in (piece.get("endpoints") or ()) if port else ():
        ip, pod = endpoint["addresses"][0], endpoint.get("targetRef") or {}
        yield ServingPod(
            name=str(pod.get("name", "")),
            uid=str(pod.get("uid", ip)),
            address=f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}",
            is_ready=(endpoint.get("conditions") or {}).get("ready") is not False,
        )
