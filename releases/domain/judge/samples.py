"""What the judge is told: per release one sample of both arms, and how fresh each arm's figures are.

Batches hold one array per quantity, first axis the release. Must not know how figures were got.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from releases.domain.judge.counters import Increments

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_BUCKETS = 40
"""Buckets of a latency histogram, the one above the last bound included."""
MOST_BINS = 24
"""Bins of predictions."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Both arms since the last sample, `seconds` ago; None for an arm that could not be read."""

    seconds: float
    stable: Increments | None
    candidate: Increments | None


@dataclass(frozen=True, slots=True)
class LatencyBatch:
    """Answers per latency bucket, (R, MOST_BUCKETS) for each arm; `bounds` in ms, (R, MOST_BUCKETS - 1),
    infinite where a histogram has fewer. Zeros where there is no histogram."""

    stable: Floats
    candidate: Floats
    bounds: Floats

    def __post_init__(self) -> None:
        shape = (len(self.bounds), MOST_BUCKETS)
        if self.stable.shape != shape or self.candidate.shape != shape:
            raise ValueError(f"latencies of shape {self.stable.shape}, expected {shape}")
        if self.bounds.shape[1] != MOST_BUCKETS - 1:
            raise ValueError(f"{self.bounds.shape[1]} bounds, expected {MOST_BUCKETS - 1}")
        if np.any(self.stable < 0) or np.any(self.candidate < 0):
            raise ValueError("a latency bucket holds fewer than no answers")


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """Predictions per bin, (R, MOST_BINS) for each arm; zeros where there are none."""

    stable: Floats
    candidate: Floats

    def __post_init__(self) -> None:
        if self.stable.shape != self.candidate.shape or self.stable.shape[1:] != (MOST_BINS,):
            raise ValueError(f"predictions of shapes {self.stable.shape} and {self.candidate.shape}")
        if np.any(self.stable < 0) or np.any(self.candidate < 0):
            raise ValueError("a bin holds fewer than no predictions")


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """One sample for each of R releases. Arrays have shape (R,) where nothing else is said.

    `comparable` is False where the arms do not cover the same time (a counter began anew).
    Figures of an arm that is not present are ignored. `latency` and `predictions` are None when no
    release of the batch has any.
    """

    seconds: Floats
    stable_requests: Floats
    stable_errors: Floats
    candidate_requests: Floats
    candidate_errors: Floats
    stable_present: Bools
    candidate_present: Bools
    comparable: Bools
    latency: LatencyBatch | None = None
    predictions: PredictionBatch | None = None

    def __post_init__(self) -> None:
        if np.any(~np.isfinite(self.seconds) | (self.seconds < 0)):
            raise ValueError("a sample's length must be finite and not negative")
        for requests, errors in (
            (self.stable_requests, self.stable_errors),
            (self.candidate_requests, self.candidate_errors),
        ):
            if not np.all((errors >= 0) & (errors <= requests) & np.isfinite(requests)):
                raise ValueError("errors must lie between 0 and the number of requests")
        for more in (self.latency, self.predictions):
            if more is not None and len(more.stable) != len(self):
                raise ValueError(f"{len(more.stable)} histograms for {len(self)} releases")

    def __len__(self) -> int:
        return len(self.seconds)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> SampleBatch:
        rows = [
            (
                sample.seconds,
                *_arm(sample.stable),
                *_arm(sample.candidate),
                _continuous(sample.stable) and _continuous(sample.candidate),
            )
            for sample in samples
        ]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 8)
        return cls(
            seconds=table[:, 0],
            stable_requests=table[:, 1],
            stable_errors=table[:, 2],
            stable_present=table[:, 3] > 0,
            candidate_requests=table[:, 4],
            candidate_errors=table[:, 5],
            candidate_present=table[:, 6] > 0,
            comparable=table[:, 7] > 0,
            latency=_latency(samples),
            predictions=_predictions(samples),
        )


class Reading(StrEnum):
    DATA = "data"
    """Requests were counted."""
    NO_DATA = "no_data"
    """The figures could be read, and no request was among them."""
    UNREACHABLE = "unreachable"
    """The figures could not be read: nothing is known."""


@dataclass(frozen=True, slots=True)
class ArmFreshness:
    """What the last reading of an arm was, and for how many seconds it has been so."""

    reading: Reading
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """Both arms; a release without stable says DATA for it."""

    candidate: ArmFreshness = ArmFreshness(Reading.DATA)
    stable: ArmFreshness = ArmFreshness(Reading.DATA)


def _arm(increments: Increments | None) -> tuple[float, float, float]:
    if increments is None:
        return 0.0, 0.0, 0.0
    return float(increments.requests), float(increments.errors), 1.0


def _continuous(increments: Increments | None) -> bool:
    return increments is None or increments.continuous


def _latency(samples: Sequence[Sample]) -> LatencyBatch | None:
    """Histograms with the candidate's bounds; stable's is left out when it has others."""
    bounds = np.full((len(samples), MOST_BUCKETS - 1), np.inf)
    stable: list[Sequence[int]] = [()] * len(samples)
    candidate: list[Sequence[int]] = [()] * len(samples)
    for row, sample in enumerate(samples):
        arms = [arm for arm in (sample.candidate, sample.stable) if arm is not None and arm.latency_ms]
        if not arms:
            continue
        edges = arms[0].bounds_ms
        if len(arms[0].latency_ms or ()) != len(edges) + 1:
            raise ValueError(f"{len(arms[0].latency_ms or ())} latency buckets for {len(edges)} bounds")
        if len(edges) >= MOST_BUCKETS:
            raise ValueError(f"{len(edges) + 1} latency buckets, at most {MOST_BUCKETS} are possible")
        bounds[row, : len(edges)] = edges
        for arm in arms:
            if arm.bounds_ms == edges:
                (stable if arm is sample.stable else candidate)[row] = arm.latency_ms or ()
    if not any(stable) and not any(candidate):
        return None
    return LatencyBatch(_table(stable, MOST_BUCKETS), _table(candidate, MOST_BUCKETS), bounds)


def _predictions(samples: Sequence[Sample]) -> PredictionBatch | None:
    stable = [(sample.stable and sample.stable.predictions) or () for sample in samples]
    candidate = [(sample.candidate and sample.candidate.predictions) or () for sample in samples]
    if not any(stable) and not any(candidate):
        return None
    return PredictionBatch(_table(stable, MOST_BINS), _table(candidate, MOST_BINS))


def _table(rows: Sequence[Sequence[int]], width: int) -> Floats:
    """Counts of unlike length as one table, filled up with zeros; (len(rows), width)."""
    table = np.zeros((len(rows), width))
    for index, counts in enumerate(rows):
        if len(counts) > width:
            raise ValueError(f"{len(counts)} bins, at most {width} are possible")
        table[index, : len(counts)] = counts
    return table
