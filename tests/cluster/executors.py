"""A stand-in for the models' pods: Seldon's executors, which kwok's pods have not got.

It answers inference requests for the pods that the API server has, counts them as the executor does, and
serves each pod's metrics page through an HTTP proxy, because the addresses of kwok's pods lead nowhere. Which
share of a version's answers are errors is for the test to say.
"""

import itertools
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from tests.cluster.api import POD, Api
from tests.cluster.serving import LoopbackServer, Reply, Request
from tests.cluster.watching import Watched

PORT, PATH = 8000, "/prometheus"
INFER = "/v2/models/model/infer"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
LABELS = ("deployment_name", "predictor_name", "predictor_version", "service", "method", "code")
SECONDS = 0.004  # that an answer takes


@dataclass(frozen=True)
class Destination:
    """A Service in a namespace: where a predictor's executors are reached."""

    namespace: str
    service: str


@dataclass(frozen=True)
class ServingPod:
    """A pod of a predictor."""

    uid: str
    address: str
    to: Destination
    deployment: str
    predictor: str
    is_ready: bool


class Executor:
    """What one pod counts."""

    def __init__(self, deployment: str, predictor: str) -> None:
        self._registry = CollectorRegistry()
        self._labels = (deployment, predictor, "", "predictions", "post")
        self._requests = Histogram(
            "seldon_api_executor_server_requests_seconds",
            "A histogram of latencies for executor server",
            LABELS,
            buckets=BUCKETS,
            registry=self._registry,
        )
        start = Gauge("process_start_time_seconds", "When it began", registry=self._registry)
        start.set(time.time())

    def count(self, status: int) -> None:
        self._requests.labels(*self._labels, str(status)).observe(SECONDS)

    def page(self) -> bytes:
        return bytes(generate_latest(self._registry))


class Executors:
    """All pods of all predictors.

    `errors`: version, as predictors are called (`v1-4-0`), to the share of its answers that are errors.
    `output`: the name, the datatype and the columns of what the models answer."""

    def __init__(self, api: Api) -> None:
        self.errors: dict[str, float] = {}
        self.output: tuple[str, str, int] = ("output-1", "INT64", 1)
        self.answered: dict[Destination, int] = defaultdict(int)
        self._owed: dict[Destination, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._executors: dict[str, Executor] = {}
        self._turn = itertools.count()
        self._pods = Watched(api, POD, lambda: _serving(api))
        self._proxy = LoopbackServer("pods-proxy", self._relay)

    @property
    def proxy(self) -> str:
        """The URL of the HTTP proxy that leads to the pods."""
        return f"http://127.0.0.1:{self._proxy.port}"

    def stop(self) -> None:
        self._proxy.stop()
        self._pods.stop()

    def infer(self, to: Destination, path: str, body: bytes) -> Reply:
        """What a predictor answers; 503 as Envoy's when none of its pods is ready."""
        ready = [pod for pod in self._pods.picture if pod.to == to and pod.is_ready]
        if not ready:
            return Reply(503, b"no healthy upstream", "text/plain")
        if path != INFER:
            return Reply(404, b"404 page not found\n", "text/plain")
        with self._lock:
            pod = ready[next(self._turn) % len(ready)]
            self.answered[to] += 1
            self._owed[to] += self.errors.get(pod.predictor, 0.0)
            fails = self._owed[to] >= 1
            self._owed[to] -= fails
            self._executor(pod).count(500 if fails else 200)
        if fails:
            return _json(500, {"error": "ValueError: the model is faulty"})
        return _json(200, self._outputs(body))

    def _outputs(self, body: bytes) -> dict[str, Any]:
        name, datatype, columns = self.output
        rows = json.loads(body)["inputs"][0]["shape"][0]
        output = {"name": name, "datatype": datatype, "shape": [rows, columns]}
        return {"model_name": "model", "outputs": [{**output, "data": [1] * rows * columns}]}

    def _executor(self, pod: ServingPod) -> Executor:
        return self._executors.setdefault(pod.uid, Executor(pod.deployment, pod.predictor))

    def _relay(self, request: Request) -> Reply:
        asked = urlsplit(request.target)
        found = [pod for pod in self._pods.picture if pod.address == asked.hostname]
        if not found or asked.port != PORT:
            return Reply(504, b"no route to host", "text/plain")
        if asked.path != PATH:
            return Reply(404, b"404 page not found\n", "text/plain")
        with self._lock:
            page = self._executor(found[0]).page()
        return Reply(200, page, "text/plain; version=0.0.4; charset=utf-8")


def _serving(api: Api) -> list[ServingPod]:
    return [
        _pod(pod)
        for pod in api.list(POD, labels="seldon-deployment-id")
        if pod["status"].get("podIP") and not pod["metadata"].get("deletionTimestamp")
    ]


def _pod(pod: dict[str, Any]) -> ServingPod:
    meta, labels = pod["metadata"], pod["metadata"]["labels"]
    service, deployment = labels["seldon-app"], labels["seldon-deployment-id"]
    return ServingPod(
        uid=meta["uid"],
        address=pod["status"]["podIP"],
        to=Destination(meta["namespace"], service),
        deployment=deployment,
        predictor=service.removeprefix(f"{deployment}-"),
        is_ready=_is_ready(pod),
    )


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(body).encode())
