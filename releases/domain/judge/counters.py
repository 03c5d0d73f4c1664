"""From cumulative counters to what happened since the last reading.

The one place that knows of first readings, restarts and changed histogram bounds, and that answers from a
cache are not the model's: they are taken out of what is judged. Must not know where counters come from, nor
how they are judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_PREDICTIONS = 10**9
"""In one interval and bin."""
BESIDE = (
    "cache_hits",
    "cache_misses",
    "features_found",
    "features_missing",
    "features_stale",
    "features_unreachable",
    "member_failures",
)
"""What is counted beside the model, in this order: requests, but features per entity; the failures of members
each by itself."""
HITS = BESIDE.index("cache_hits")


@dataclass(frozen=True, slots=True)
class Totals:
    """One reading of an arm's cumulative counters.

    `at` is in seconds. `latency_ms` counts requests per bucket: not summed over the buckets, but
    growing over time; one entry more than `bounds_ms`, the last for everything above.
    `predictions` counts predictions per bin in the same way; they come from a source of their own, and
    are empty when it was silent. `series` names what was added up (pods, say). `beside` counts as `BESIDE`
    says, and is empty when its source was silent. `owed` and `owed_latencies` are answers from the cache that
    have been counted there and not yet been taken out of requests and latencies (see `advance`).
    """

    at: float
    ok: int
    client_errors: int
    errors: int
    latency_ms: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = ()
    predictions: tuple[int, ...] = ()
    series: str = ""
    beside: tuple[int, ...] = ()
    owed: int = 0
    owed_latencies: int = 0


@dataclass(frozen=True, slots=True)
class Increments:
    """What one arm did in an interval of `seconds`.

    A client error (4xx) is a request but not an error: the caller's mistake says nothing against
    the model, yet the arm was asked and did answer; leaving it out would make rates depend on how
    many wrong calls an arm happens to get. A candidate that refuses what stable accepts is found
    by validation (signature) and smoke test.

    `latency_ms` is None when no histogram can be compared. `continuous` is False when the counters
    began anew in the interval, so that it does not cover the same time as the other arm's: such
    counts are good for limits, but must not be compared between arms. `predictions` is None when there
    are none to compare, or when their source began anew.

    Answers from the cache are in neither requests nor latencies. `beside` is what was counted beside the
    model in that time, in the order of `BESIDE`; empty when nobody told.
    """

    seconds: float
    requests: int
    errors: int
    latency_ms: tuple[int, ...] | None = None
    bounds_ms: tuple[float, ...] = ()
    continuous: bool = True
    predictions: tuple[int, ...] | None = None
    beside: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"{self.errors} errors in {self.requests} requests")


def increment(previous: Totals | None, current: Totals) -> Increments | None:
    """What happened between two readings of one arm: the first half of `advance`."""
    return advance(previous, current)[0]


def advance(previous: Totals | None, current: Totals) -> tuple[Increments | None, Totals]:
    """What happened between two readings of one arm, and the totals to remember for the next.

    An answer from the cache is no answer of the model. So many are taken out of what ended well and out of
    the fastest latency buckets, because a hit is faster than the model. The figures come from two sources
    that are read at almost the same moment: what the one has not counted yet is owed, and taken out next
    time. No figure becomes negative, and over time just the hits are gone. While the model server is silent
    its last word counts; a gateway that began anew owes nothing.

    First reading (`previous` is None): a baseline, zero requests and not continuous. A counter went
    down: the process restarted, so the present values are what happened since then. Bounds changed:
    the histogram of this interval is dropped, the counts are kept. A reading that is not newer than
    the previous one says nothing: None, as if it had been missed. So does the first one of other series: a
    sum that lost a pod fell by all that this had ever counted, and one that rose may hide a pod that began
    anew.
    """
    if previous is None:
        return Increments(seconds=0.0, requests=0, errors=0, continuous=False), current
    seconds = current.at - previous.at
    if seconds <= 0 or current.series != previous.series:
        return None, current
    same_bounds = current.bounds_ms == previous.bounds_ms and len(current.latency_ms) == len(
        previous.latency_ms
    )
    restarted = _went_down(previous, current, same_bounds)
    base = Totals(previous.at, 0, 0, 0) if restarted else previous
    errors = current.errors - base.errors
    ok, client_errors = current.ok - base.ok, current.client_errors - base.client_errors
    latency: tuple[int, ...] | None = None
    if current.latency_ms and restarted:
        latency = current.latency_ms
    elif current.latency_ms and same_bounds:
        latency = tuple(
            now - before for now, before in zip(current.latency_ms, previous.latency_ms, strict=True)
        )
    beside = _since(previous.beside, current.beside)
    owed = (beside[HITS] if beside else 0) + (0 if restarted else previous.owed)
    hits = min(ok, owed)
    taken = 0
    if latency is not None:
        taken = min(sum(latency), hits + (0 if restarted else previous.owed_latencies))
        latency = without_fastest(latency, taken)
    step = Increments(
        seconds=seconds,
        requests=ok - hits + client_errors + errors,
        errors=errors,
        latency_ms=latency,
        bounds_ms=current.bounds_ms if latency is not None else (),
        continuous=not restarted,
        predictions=_predicted(previous, current),
        beside=beside,
    )
    return step, replace(
        current,
        beside=current.beside or previous.beside,
        owed=0 if restarted else owed - hits,
        owed_latencies=0 if restarted or latency is None else previous.owed_latencies + hits - taken,
    )


def without_fastest(latency: Sequence[int], hits: int) -> tuple[int, ...]:
    """The histogram without so many of its fastest answers; empty buckets when it has fewer."""
    kept = []
    for count in latency:
        kept.append(max(0, count - hits))
        hits -= min(hits, count)
    return tuple(kept)


def _since(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    """What was counted beside the model since; empty when there is nothing to compare. Counts that fell began
    anew; a count that no server can have made is of foreign code, and left out with the others."""
    if not now or len(now) != len(before):
        return ()
    base = before if all(new >= old for old, new in zip(before, now, strict=True)) else (0,) * len(now)
    counts = tuple(new - old for old, new in zip(base, now, strict=True))
    return counts if max(counts) <= MOST_PREDICTIONS else ()


def _predicted(previous: Totals, current: Totals) -> tuple[int, ...] | None:
    """What was predicted since; a restart of the model server alone takes one interval of it, and so does
    a count that no server can have made: the figures are those of foreign code."""
    if not current.predictions or len(current.predictions) != len(previous.predictions):
        return None
    counts = tuple(
        now - before for now, before in zip(current.predictions, previous.predictions, strict=True)
    )
    return counts if min(counts) >= 0 and max(counts) <= MOST_PREDICTIONS else None


def _went_down(previous: Totals, current: Totals, same_bounds: bool) -> bool:
    pairs = [
        (previous.ok, current.ok),
        (previous.client_errors, current.client_errors),
        (previous.errors, current.errors),
    ]
    if same_bounds:
        pairs += zip(previous.latency_ms, current.latency_ms, strict=True)
    return any(now < before for before, now in pairs)
