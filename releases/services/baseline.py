"""What stable does when nothing is rolled out: its traffic, errors and latencies of the last ten minutes.

`baseline_of` reads it from the endpoint's row; `baseline_sweep` keeps it there. Must not know what it
is used for: forecasts, the judge and pages all read the same figures.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from releases.domain.judge import Increments
from releases.domain.judge.selftest import SelfTest
from releases.models import Endpoint

OLDEST = 300.0
"""Seconds after which a reading says nothing any more about the present traffic."""


@dataclass(frozen=True, slots=True)
class BaselineSample:
    """What stable did in the `seconds` up to `at` (seconds since 1970); `latency` counts per bucket and is
    empty where no histogram of the present bounds is known."""

    at: float
    seconds: float
    requests: int
    errors: int
    latency: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The latest samples of the deployment `ref`, oldest first, at least one; `at` is when it was last read.

    `bounds_ms` are the upper bounds of the latency buckets, of which there is one more. `predictions`
    counts per predicted value since the deployment was first read; empty when they are not counted.
    `self_test` is the last that was made, about once a minute.
    """

    ref: str
    at: float
    samples: tuple[BaselineSample, ...]
    bounds_ms: tuple[float, ...] = ()
    predictions: Mapping[str, int] = field(default_factory=dict)
    self_test: SelfTest | None = None

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> Self:
        """As `baseline_sweep` writes it."""
        return cls(
            ref=stored["ref"],
            at=stored["at"],
            samples=tuple(
                BaselineSample(at, seconds, requests, errors, tuple(latency))
                for at, seconds, requests, errors, latency in map(json.loads, stored["samples"])
            ),
            bounds_ms=tuple(stored["bounds_ms"]),
            predictions=stored["predictions"],
            self_test=_self_test(stored["self_test"]),
        )

    @property
    def increments(self) -> list[Increments]:
        """The samples as the judge takes them."""
        return [
            Increments(
                seconds=sample.seconds,
                requests=sample.requests,
                errors=sample.errors,
                latency_ms=sample.latency or None,
                bounds_ms=self.bounds_ms if sample.latency else (),
            )
            for sample in self.samples
        ]

    @property
    def seconds(self) -> float:
        """The time that the samples cover."""
        return sum(sample.seconds for sample in self.samples)

    @property
    def requests(self) -> int:
        """How many requests stable answered in that time."""
        return sum(sample.requests for sample in self.samples)

    @property
    def errors(self) -> int:
        """How many of them failed (5xx)."""
        return sum(sample.errors for sample in self.samples)

    @property
    def requests_per_second(self) -> float:
        """The mean traffic."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_rate(self) -> float:
        """Errors per request; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def latency(self) -> tuple[int, ...]:
        """Requests per latency bucket, over all samples; empty when no histogram is known."""
        histograms = [sample.latency for sample in self.samples if sample.latency]
        return tuple(sum(counts) for counts in zip(*histograms, strict=True))


def baseline_of(endpoint: Endpoint, at: datetime) -> Baseline | None:
    """The baseline of the present stable version; None when nothing is known (yet), or not any more:
    the last reading is older than `OLDEST` at the time `at`."""
    stored = endpoint.baseline
    if not stored or not stored["samples"] or stored["stable"] != endpoint.stable_id:
        return None
    if at.timestamp() - stored["at"] > OLDEST:
        return None
    return Baseline.of_stored(stored)


def _self_test(stored: Mapping[str, Any] | None) -> SelfTest | None:
    return SelfTest(**{name: stored[name] for name in _SELF_TEST}) if stored else None


_SELF_TEST = tuple(field.name for field in fields(SelfTest))
