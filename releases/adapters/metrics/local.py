"""The metrics of the local target: the gateway counts requests, the model servers what they do.

Knows both sources and how they fit together; what they are is their own business.
"""

from collections.abc import Iterable
from dataclasses import replace

from releases.adapters.metrics.envoy import EnvoyMetrics
from releases.adapters.metrics.model_servers import SILENT, PredictionCounts, Told
from releases.ports import Counters, Missing


class LocalMetrics:
    """Port `MetricSource`. Whether there are counters is for the gateway to say; a model server that is
    silent only leaves their `predictions` and `beside` empty."""

    def __init__(self, gateway: EnvoyMetrics, predictions: PredictionCounts) -> None:
        self._gateway = gateway
        self._predictions = predictions

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        wanted = list(refs)
        with self._predictions.asked(wanted) as answers:
            counters = self._gateway.read(wanted)
            told = answers()
        return {ref: _with(seen, told.get(ref, SILENT)) for ref, seen in counters.items()}


def _with(seen: Counters | Missing, told: Told) -> Counters | Missing:
    if not isinstance(seen, Counters):
        return seen
    return replace(seen, predictions=told.predictions, beside=told.beside)
