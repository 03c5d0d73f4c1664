"""Request counts and latencies per deployment, from the statistics of the gateway's Envoy.

A deployment is the Envoy cluster of the same name. What Envoy answers itself because the model did not
(no connection, no answer in time) is in its cluster's 5xx, so it counts as an error, as it should.
Knows nothing of releases; resets after a restart are the judge's business.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from releases.adapters.envoy_admin import EnvoyAdmin
from releases.ports import Counters, Missing, Unreachable

# Envoy's statistic -> the outcome that it counts. A statistic of its own says that a cluster is known.
OUTCOMES: Mapping[str, str] = {
    "upstream_rq_1xx": "ok",
    "upstream_rq_2xx": "ok",
    "upstream_rq_3xx": "ok",
    "upstream_rq_4xx": "client_errors",
    "upstream_rq_5xx": "errors",
}
KNOWN = "upstream_rq_total"
LATENCY = "upstream_rq_time"
QUERY: Mapping[str, str] = {
    "format": "json",
    "histogram_buckets": "disjoint",
    "filter": rf"^cluster\.[^.]+\.({'|'.join([*OUTCOMES, KNOWN, LATENCY])})$",
}


@dataclass(frozen=True, slots=True)
class EnvoyMetricsConfig:
    """`admin`: Unix socket or http:// URL of Envoy's admin interface."""

    admin: str


class EnvoyMetrics:
    """Port `MetricSource`."""

    def __init__(self, config: EnvoyMetricsConfig) -> None:
        self._admin = EnvoyAdmin(config.admin)

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        """One GET for all, whatever their number.

        Counts are up to date; latencies lag by Envoy's flush interval. Answers that took longer than
        the last bound are in no bucket: it has to be the time after which the gateway gives up.
        """
        wanted = list(refs)
        try:
            statistics = self._admin.get("/stats", QUERY)["stats"]
        except Unreachable:
            return dict.fromkeys(wanted, Missing.UNREACHABLE)
        now = time.time()
        outcomes, latencies = _by_cluster(statistics)
        return {
            ref: _counters(now, outcomes[ref], latencies.get(ref, [])) if ref in outcomes else Missing.NO_DATA
            for ref in wanted
        }


def _by_cluster(
    statistics: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, dict[str, int]], dict[str, list[Mapping[str, float]]]]:
    """Counts per outcome and latency buckets, by cluster; a cluster without requests has zeros."""
    outcomes: dict[str, dict[str, int]] = defaultdict(lambda: {"ok": 0, "client_errors": 0, "errors": 0})
    latencies: dict[str, list[Mapping[str, float]]] = {}
    for item in statistics:
        if "histograms" in item:
            for histogram in item["histograms"]:
                latencies[histogram["name"].split(".")[1]] = histogram["buckets"]
            continue
        _, cluster, statistic = item["name"].split(".")
        counts = outcomes[cluster]
        if statistic in OUTCOMES:
            counts[OUTCOMES[statistic]] += item["value"]
    return outcomes, latencies


def _counters(now: float, outcomes: Mapping[str, int], buckets: Iterable[Mapping[str, float]]) -> Counters:
    bounds = tuple(float(bucket["upper_bound"]) for bucket in buckets)
    # "cumulative" is Envoy's word for "since its start"; the buckets themselves are disjoint.
    counts = tuple(int(bucket["cumulative"]) for bucket in buckets)
    return Counters(
        at=now,
        ok=outcomes["ok"],
        client_errors=outcomes["client_errors"],
        errors=outcomes["errors"],
        bounds_ms=bounds,
        latency_ms=(*counts, 0) if bounds else (),
    )
