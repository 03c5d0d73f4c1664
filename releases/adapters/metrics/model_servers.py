"""What the models predicted and what happened beside them, as the model servers themselves count it on their
metrics endpoints.

Nothing here may hold up a pass: all servers are asked side by side, and those that have not answered in
time are left out. Knows nothing of releases, and where a server is only from a function that it is given.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

COUNTER = "model_predictions_total"
# Series -> its label that tells apart, and the count for each of its values; "": all the others.
BESIDE: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "model_cache_hits_total": ("", {"": "cache_hits"}),
    "model_cache_misses_total": ("why", {"": "cache_misses"}),
    "model_features_total": (
        "outcome",
        {outcome: f"features_{outcome}" for outcome in ("found", "missing", "stale", "unreachable")},
    ),
    "model_member_failures_total": ("member", {"": "member_failures"}),
}
SERIES = (COUNTER, *BESIDE)
LARGEST_ANSWER = 1 << 20  # a model is foreign code, and may fill its server's metrics with anything
MOST_VALUES = 1_000
LONGEST_KEY = 200
LARGEST_COUNT = 2**53  # beyond it a float is no count any more
SIDE_BY_SIDE = 32

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What one model server says; both empty when it does not say."""

    predictions: Counts = field(default_factory=dict)
    beside: Counts = field(default_factory=dict)


SILENT = Told()


class PredictionCounts:
    """`locate` gives host:port of a deployment's metrics, None when it has none; `seconds` is what all
    answers together may take."""

    def __init__(self, locate: Callable[[str], str | None], seconds: float = 0.3) -> None:
        self._locate = locate
        self._seconds = seconds
        # No connection is kept: the client may be inherited over a fork.
        self._http = httpx.Client(
            timeout=seconds, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    @contextmanager
    def asked(self, refs: Iterable[str]) -> Iterator[Callable[[], dict[str, Told]]]:
        """The servers of these deployments are being asked during the block. What it is given waits for
        those that answer in time, and leaves out the others."""
        deadline = time.monotonic() + self._seconds
        # Threads of its own: a pool would not outlive a fork, and a late server must not keep its place.
        pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="predictions")
        try:
            asked = {ref: pool.submit(self._ask, ref, deadline) for ref in refs}
            yield lambda: _answers(asked, deadline)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, ref: str, deadline: float) -> Told:
        address = self._locate(ref)
        if address is None:
            return SILENT
        try:
            with self._http.stream("GET", f"http://{address}/metrics") as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
                        return SILENT
            return told(body.decode()) if answer.status_code == 200 else SILENT
        except (httpx.HTTPError, ValueError, LookupError):  # the parser stumbles over some lines by the last
            return SILENT


def _answers(asked: Mapping[str, Future[Told]], deadline: float) -> dict[str, Told]:
    done, _ = wait(asked.values(), timeout=max(0.0, deadline - time.monotonic()))
    return {ref: answer.result() for ref, answer in asked.items() if answer in done}


def told(text: str) -> Told:
    """What a page says. No predictions when there are more than any of our servers says. What could not be
    stored is left out: one bad value must not keep those of all others from the database. Raises `ValueError`
    when this is no text of Prometheus."""
    # A model server shows hundreds of other lines, and parsing them is what would cost.
    own = "\n".join(line for line in text.split("\n") if line.startswith(SERIES))
    predictions: dict[str, int] = {}
    beside = {name: 0 for _, names in BESIDE.values() for name in names.values()}
    for family in text_string_to_metric_families(own):
        for sample in family.samples:
            if not (math.isfinite(sample.value) and 0 <= sample.value <= LARGEST_COUNT):
                continue
            if sample.name == COUNTER:
                key = f"{sample.labels.get('kind', '')}:{sample.labels.get('value', '')}"
                if "\0" not in key and len(key) <= LONGEST_KEY:
                    predictions[key] = int(sample.value)
            elif sample.name in BESIDE:
                label, names = BESIDE[sample.name]
                name = names.get(sample.labels.get(label, ""), names.get(""))
                if name is not None:
                    beside[name] += int(sample.value)
    return Told(predictions if len(predictions) <= MOST_VALUES else {}, beside)
