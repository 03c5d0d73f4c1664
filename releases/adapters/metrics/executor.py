"""Request counts and latencies per deployment, from the metrics pages of Seldon's executors in its pods.

No Prometheus is needed, and a reading is as young as the question. All pods are asked side by side, within
one deadline. A ready pod that does not say what it has counted makes its deployment UNREACHABLE: it gets
requests, and the silent one may be the one that fails, so the sum of the others would be a wrong number. A
pod that is not ready gets no requests: what it says is counted, its silence means nothing. A deployment with
neither has NO_DATA. A page without series is zero, because a series begins with its first request.
What the models predicted is not told: stock MLServer does not count it.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache

import httpx
from prometheus_client.parser import text_string_to_metric_families

from releases.adapters.kubernetes_api import Cluster
from releases.adapters.metrics.seldon_pods import PodCounts, ServingPod, serving_pods, summed
from releases.ports import AdapterError, Counters, Missing

logger = logging.getLogger(__name__)

PATH = "/prometheus"
COUNT = "seldon_api_executor_server_requests_seconds_count"
BUCKET = "seldon_api_executor_server_requests_seconds_bucket"
BEGAN = "process_start_time_seconds"
OWN = tuple(name + end for name in (COUNT, BUCKET, BEGAN) for end in ("{", " "))
REST = "predictions"
GRPC_CALLS = ("/ModelInfer", "/Predict")  # the executor calls a gRPC service by its method's full name
PREFLIGHT = "options"  # of a browser; the executor answers it without the model
LARGEST_ANSWER = 1 << 20
SIDE_BY_SIDE = 64


@dataclass(frozen=True, slots=True)
class ExecutorMetricsConfig:
    """`namespace`: where the pods are. `pod_proxy`: the http:// URL of a proxy through which pods are asked,
    empty: directly; at IPv4 addresses only, because httpx writes IPv6 ones to a proxy without brackets.
    `seconds`: what the answers of all pods together may take."""

    namespace: str
    pod_proxy: str = ""
    seconds: float = 0.8


class ExecutorMetrics:
    """Port `MetricSource`."""

    def __init__(self, config: ExecutorMetricsConfig, cluster: Cluster) -> None:
        self._config = config
        self._cluster = cluster
        # No connection is kept: the client may be inherited over a fork.
        self._http = httpx.Client(
            timeout=config.seconds,
            trust_env=False,
            proxy=config.pod_proxy or None,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"accept-encoding": "identity"},
        )

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        """Two questions to the API server and one to each pod."""
        wanted = list(refs)
        try:
            pods = serving_pods(self._cluster, self._config.namespace, wanted)
        except AdapterError as error:
            logger.warning("the pods of %s cannot be found: %s", self._config.namespace, error)
            return dict.fromkeys(wanted, Missing.UNREACHABLE)
        answers = self._ask([pod for ref in wanted for pod in pods[ref]])
        now = time.time()
        return {ref: self._counters(ref, pods[ref], answers, now) for ref in wanted}

    def _counters(
        self, ref: str, pods: Sequence[ServingPod], answers: Mapping[str, PodCounts], now: float
    ) -> Counters | Missing:
        silent = [pod.name for pod in pods if pod.is_ready and pod.uid not in answers]
        if silent:
            said = "%s: %d of its %d pods do not say what they have counted, %s among them"
            logger.warning(said, ref, len(silent), len(pods), silent[0])
            return Missing.UNREACHABLE
        counted = {pod.uid: answers[pod.uid] for pod in pods if pod.uid in answers}
        return summed(now, counted) if counted else Missing.NO_DATA

    def _ask(self, pods: Sequence[ServingPod]) -> dict[str, PodCounts]:
        """What the pods say, by uid; those that do not answer well and in time are left out."""
        deadline = time.monotonic() + self._config.seconds
        # Threads of its own: a pool would not outlive a fork, and a late pod must not keep its place.
        pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="executors")
        try:
            asked = {pod.uid: pool.submit(self._page, pod.address, deadline) for pod in pods}
            return _answers(asked, deadline)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _page(self, address: str, deadline: float) -> PodCounts | None:
        try:
            with self._http.stream("GET", f"http://{address}{PATH}") as answer:
                body = bytearray()
                for part in answer.iter_raw():
                    body += part
                    if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
                        return None
            return counts(body.decode()) if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None


def _answers(asked: Mapping[str, Future[PodCounts | None]], deadline: float) -> dict[str, PodCounts]:
    done, _ = wait(asked.values(), timeout=max(0.0, deadline - time.monotonic()))
    said = {uid: answer.result() for uid, answer in asked.items() if answer in done}
    return {uid: one for uid, one in said.items() if one is not None}


def counts(text: str) -> PodCounts:
    """What a page says of predictions. Raises `ValueError` when this is no text of Prometheus, or says what
    nothing can have counted."""
    found = PodCounts()
    for line in text.split("\n"):
        if not line.startswith(OWN):
            continue
        series, end, figures = line.rpartition("}") if "{" in line else line.partition(" ")
        name, labels = _series(series + end)
        value = float(figures.split()[0]) if figures.strip() else math.nan
        if name == BEGAN:
            found.began = value
        elif not _is_prediction(labels):
            continue
        elif name == COUNT:
            found.count(labels.get("code", ""), value)
        elif name == BUCKET:
            found.time(labels.get("le", "nan"), value)
    summed(0.0, {"": found})  # so that a page that contradicts itself is told here, of this pod alone
    return found


@lru_cache(maxsize=16_384)
def _series(text: str) -> tuple[str, Mapping[str, str]]:
    """The name and the labels of a line without its value. They are the same at every reading, and taking
    them apart is what costs: 3 ms a page."""
    try:
        [family] = text_string_to_metric_families(f"{text} 0\n")
    except LookupError as error:  # the parser's way to stumble over some lines
        raise ValueError(f"no line of Prometheus: {text[:80]!r}") from error
    [sample] = family.samples
    return sample.name, sample.labels


def _is_prediction(labels: Mapping[str, str]) -> bool:
    service = labels.get("service", "")
    return (service == REST or service.endswith(GRPC_CALLS)) and labels.get("method") != PREFLIGHT
