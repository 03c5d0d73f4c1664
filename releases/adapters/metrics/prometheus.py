"""Request counts and latencies per deployment, from a Prometheus that scrapes the pods of the predictors.

The queries are data: one table for the series of Seldon's executor, one for those of Istio's sidecars. They
are sent as one query, so that all figures are of one moment and of whole scrapes. Counts are by pod (the
scrape's labels `namespace` and `pod`, as every PodMonitor sets them): which pods a deployment has is asked of
the cluster, so that what a pod of yesterday has left behind is not counted.

`Counters.at` is the moment of the scrape, not of the question: several readings between two scrapes are the
same reading, and its counts stand still because nobody looked. Three answers that are no counts: Prometheus
fails, or cannot scrape one of the pods that get requests: UNREACHABLE, because the sum of the others would be
a wrong number; it knows none of the pods, or nothing younger than `stale_seconds`: NO_DATA; a scrape without
series of requests: zero. A pod that was not scraped yet is left out until it is.
What the models predicted is not told: stock MLServer does not count it.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from releases.adapters.kubernetes_api import Cluster
from releases.adapters.metrics.seldon_pods import PodCounts, ServingPod, serving_pods, summed
from releases.ports import AdapterError, Counters, Missing, Unreachable

logger = logging.getLogger(__name__)

PATH = "/api/v1/query"
LARGEST_ANSWER = 8 << 20

# Statistic -> what to ask. $at stands for the namespace; $copies for the labels in which the same series
# differs when two jobs scrape one pod, or two Prometheus stand behind one address.
#   requests {pod, code}; latency {pod, le}; began {pod}: the start of what counts; scraped {pod}: when;
#   up {pod}: whether the last scrape of anything in the pod worked.
EXECUTOR: Mapping[str, str] = {
    "requests": "sum by (pod, code) (max without ($copies) (seldon_api_executor_server_requests_seconds_count"
    '{$at, service=~"predictions|.*/(ModelInfer|Predict)", method!="options"}))',
    "latency": "sum by (pod, le) (max without ($copies) (seldon_api_executor_server_requests_seconds_bucket"
    '{$at, service=~"predictions|.*/(ModelInfer|Predict)", method!="options"}))',
    # Of the executor, which is written in Go; MLServer in the same pod says when it began as well.
    "began": "max by (pod) (process_start_time_seconds{$at} and on (instance) go_info{$at})",
    "scraped": "max by (pod) (timestamp(process_start_time_seconds{$at}) and on (instance) go_info{$at})",
    "up": "min by (pod) (up{$at})",
}
# One reporter, the pod's own sidecar: each request is reported by both ends. It counts whatever arrives for
# the executor's Service, questions for metadata included: Istio does not tell paths.
ISTIO: Mapping[str, str] = {
    "requests": "sum by (pod, code) (label_replace(max without ($copies) (istio_requests_total{$at, "
    'reporter="destination", destination_service_name!~".*-model"}), "code", "$1", "response_code", "(.*)"))',
    "latency": "sum by (pod, le) (max without ($copies) (istio_request_duration_milliseconds_bucket{$at, "
    'reporter="destination", destination_service_name!~".*-model"}))',
    # Without the agent's own metrics (port 15020) a restart is seen only where the counts fall.
    "began": "max by (pod) (istio_agent_process_start_time_seconds{$at})"
    ' or max by (pod) (istio_build{$at, component="proxy"})',
    "scraped": "max by (pod) (timestamp(istio_agent_process_start_time_seconds{$at}))"
    ' or max by (pod) (timestamp(istio_build{$at, component="proxy"}))',
    "up": "min by (pod) (up{$at})",
}
SERIES: Mapping[str, tuple[Mapping[str, str], float]] = {  # and the unit of `le`, in seconds
    "executor": (EXECUTOR, 1.0),
    "istio": (ISTIO, 0.001),
}
COPIES = "job, instance, endpoint, container, prometheus, prometheus_replica"


@dataclass(frozen=True, slots=True)
class PrometheusMetricsConfig:
    """`url`: of the Prometheus, with the path under which it is served. `namespace`: where the pods are.
    `series`: who counts, a name in SERIES. A scrape that is older than `stale_seconds` tells nothing: three
    intervals, at least. `seconds`: what the answer may take."""

    url: str
    namespace: str
    series: str = "executor"
    stale_seconds: float = 90.0
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.series not in SERIES:
            raise ValueError(f"unknown series: {self.series[:40]!r}; known are: {', '.join(SERIES)}")


@dataclass(slots=True)
class _Scraped:
    """What Prometheus shows of one pod. `at`: when it was scraped; None: it was not, or not lately."""

    counts: PodCounts = field(default_factory=PodCounts)
    at: float | None = None
    is_up: bool = True
    is_broken: bool = False


class PrometheusMetrics:
    """Port `MetricSource`."""

    def __init__(self, config: PrometheusMetricsConfig, cluster: Cluster) -> None:
        self._config = config
        self._cluster = cluster
        self._query = query(config.series, config.namespace)
        # No connection is kept: the client may be inherited over a fork.
        self._http = httpx.Client(
            timeout=config.seconds,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"accept-encoding": "identity"},
        )

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        """Two questions to the API server and one to Prometheus, whatever the number of refs."""
        wanted = list(refs)
        try:
            pods = serving_pods(self._cluster, self._config.namespace, wanted)
            scraped = self._by_pod(self._ask())
        except AdapterError as error:
            logger.warning("the requests in %s cannot be counted: %s", self._config.namespace, error)
            return dict.fromkeys(wanted, Missing.UNREACHABLE)
        return {ref: _counters(ref, pods[ref], scraped) for ref in wanted}

    def _ask(self) -> list[Mapping[str, Any]]:
        """The vector that the query gives."""
        url = self._config.url.rstrip("/") + PATH
        try:
            with self._http.stream("POST", url, data={"query": self._query}) as answer:
                body = bytearray()
                for part in answer.iter_raw():
                    body += part
                    if len(body) > LARGEST_ANSWER:
                        raise Unreachable(f"the answer of {url} is larger than {LARGEST_ANSWER >> 20} MiB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{url} does not answer: {error}") from error
        try:
            said = json.loads(body)
            if said["status"] == "success":
                return list(said["data"]["result"])
            why = f"{said['errorType']}: {said['error']}"
        except (ValueError, TypeError, LookupError):
            why = "not as a Prometheus does"
        raise Unreachable(f"{url} answers {answer.status_code}, {why[:300]}")

    def _by_pod(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, _Scraped]:
        found: dict[str, _Scraped] = defaultdict(_Scraped)
        try:
            for row in rows:
                labels, (now, value) = row["metric"], row["value"]
                self._put(found[labels.get("pod", "")], labels, float(now), float(value))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise Unreachable(f"{self._config.url} answers with rows that are none: {error!r}") from error
        return found

    def _put(self, pod: _Scraped, labels: Mapping[str, str], now: float, value: float) -> None:
        """One row of the answer; one value that is no count spoils the pod's counts, no others."""
        scale = SERIES[self._config.series][1]
        try:
            match labels["statistic"]:
                case "requests":
                    pod.counts.count(labels.get("code", ""), value)
                case "latency":
                    pod.counts.time(labels["le"], value, scale)
                case "began":
                    pod.counts.began = value
                case "scraped":
                    pod.at = value if now - value <= self._config.stale_seconds else None
                case "up":
                    pod.is_up = value > 0
        except ValueError:
            pod.is_broken = True


def query(series: str, namespace: str) -> str:
    """All statistics of a table as one query, each row with the label `statistic`."""
    quoted = namespace.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    parts = []
    for name, asked in SERIES[series][0].items():
        whole = asked.replace("$copies", COPIES).replace("$at", f'namespace="{quoted}"')
        parts.append(f'label_replace({whole}, "statistic", "{name}", "pod", "(.*)")')
    return " or ".join(parts)


def _counters(ref: str, pods: Sequence[ServingPod], scraped: Mapping[str, _Scraped]) -> Counters | Missing:
    seen = {pod: scraped[pod.name] for pod in pods if pod.name in scraped}
    lost = [pod.name for pod, one in seen.items() if pod.is_ready and _is_lost(one)]
    if lost:
        said = "%s: Prometheus cannot scrape %d of its %d pods well, %s among them"
        logger.warning(said, ref, len(lost), len(pods), lost[0])
        return Missing.UNREACHABLE
    counted = {pod.uid: one for pod, one in seen.items() if one.at is not None and not one.is_broken}
    if not counted:
        return Missing.NO_DATA
    # Of the pod that was scraped longest ago: pods are scraped one after the other.
    at = min(one.at for one in counted.values() if one.at is not None)
    try:
        return summed(at, {uid: one.counts for uid, one in counted.items()})
    except ValueError as error:
        logger.warning("%s: %s", ref, error)
        return Missing.UNREACHABLE


def _is_lost(one: _Scraped) -> bool:
    """A target in the pod is down, and it is the one that counts; or what it counts cannot be."""
    return one.is_broken or (one.at is None and not one.is_up)
