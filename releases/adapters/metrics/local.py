"""The metrics of the local target: the gateway counts requests, the model servers count predictions.

Knows both sources and how they fit together; what they are is their own business.
"""

from collections.abc import Iterable
from dataclasses import replace

from releases.adapters.metrics.envoy import EnvoyMetrics
from releases.adapters.metrics.model_servers import PredictionCounts
from releases.ports import Counters, Missing


class LocalMetrics:
    """Port `MetricSource`. Whether there are counters is for the gateway to say; a model server that is
    silent only leaves their `predictions` empty."""

    def __init__(self, gateway: EnvoyMetrics, predictions: PredictionCounts) -> None:
        self._gateway = gateway
        self._predictions = predictions

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        wanted = list(refs)
        with self._predictions.asked(wanted) as answers:
            counters = self._gateway.read(wanted)
            predictions = answers()
        return {
            ref: replace(seen, predictions=predictions.get(ref, {})) if isinstance(seen, Counters) else seen
            for ref, seen in counters.items()
        }
