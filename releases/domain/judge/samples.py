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


@dataclass(frozen=True, slots=True)
class Sample:
    """Both arms since the last sample, `seconds` ago; None for an arm that could not be read."""

    seconds: float
    stable: Increments | None
    candidate: Increments | None


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """One sample for each of R releases. All arrays have shape (R,).

    `comparable` is False where the arms do not cover the same time (a counter began anew).
    Figures of an arm that is not present are ignored.
    """

    seconds: Floats
    stable_requests: Floats
    stable_errors: Floats
    candidate_requests: Floats
    candidate_errors: Floats
    stable_present: Bools
    candidate_present: Bools
    comparable: Bools

    def __post_init__(self) -> None:
        if np.any(~np.isfinite(self.seconds) | (self.seconds < 0)):
            raise ValueError("a sample's length must be finite and not negative")
        for requests, errors in (
            (self.stable_requests, self.stable_errors),
            (self.candidate_requests, self.candidate_errors),
        ):
            if not np.all((errors >= 0) & (errors <= requests) & np.isfinite(requests)):
                raise ValueError("errors must lie between 0 and the number of requests")

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
