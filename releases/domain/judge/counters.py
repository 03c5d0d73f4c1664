"""From cumulative counters to what happened since the last reading.

The one place that knows of first readings, restarts and changed histogram bounds. Must not know
where counters come from, nor how they are judged.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_PREDICTIONS = 10**9
"""In one interval and bin."""


@dataclass(frozen=True, slots=True)
class Totals:
    """One reading of an arm's cumulative counters.

    `at` is in seconds. `latency_ms` counts requests per bucket: not summed over the buckets, but
    growing over time; one entry more than `bounds_ms`, the last for everything above.
    `predictions` counts predictions per bin in the same way; they come from a source of their own, and
    are empty when it was silent. `series` names what was added up (pods, say).
    """

    at: float
    ok: int
    client_errors: int
    errors: int
    latency_ms: tuple[int, ...] = ()
    bounds_ms: tuple[float, ...] = ()
    predictions: tuple[int, ...] = ()
    series: str = ""


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
    """

    seconds: float
    requests: int
    errors: int
    latency_ms: tuple[int, ...] | None = None
    bounds_ms: tuple[float, ...] = ()
    continuous: bool = True
    predictions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"{self.errors} errors in {self.requests} requests")


def increment(previous: Totals | None, current: Totals) -> Increments | None:
    """What happened between two readings of one arm.

    First reading (`previous` is None): a baseline, zero requests and not continuous. A counter went
    down: the process restarted, so the present values are what happened since then. Bounds changed:
    the histogram of this interval is dropped, the counts are kept. A reading that is not newer than
    the previous one says nothing: None, as if it had been missed. So does the first one of other series: a
    sum that lost a pod fell by all that this had ever counted, and one that rose may hide a pod that began
    anew.
    """
    if previous is None:
        return Increments(seconds=0.0, requests=0, errors=0, continuous=False)
    seconds = current.at - previous.at
    if seconds <= 0 or current.series != previous.series:
        return None
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
    return Increments(
        seconds=seconds,
        requests=ok + client_errors + errors,
        errors=errors,
        latency_ms=latency,
        bounds_ms=current.bounds_ms if latency is not None else (),
        continuous=not restarted,
        predictions=_predicted(previous, current),
    )


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
