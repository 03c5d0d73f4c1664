"""Traffic for the judge, simulated: Poisson arrivals of both arms, one sample a second, one release per row.

Must not know what is looked for in it, nor who judges it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from releases.domain.judge import MOST_BINS, MOST_BUCKETS, LatencyBatch, PredictionBatch, SampleBatch
from releases.domain.judge.samples import Floats

Rate = float | Callable[[int], float]
"""A number, or what it is at each second."""

BOUNDS_MS = np.array([10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 750, 1000, 2000.0])
"""Fifteen neighbouring bounds of the gateway's own histogram: 16 buckets."""
MEDIAN_MS = 60.0
SPREAD = 0.5
"""Latencies are lognormal with this standard deviation of their logarithm: a p95 of 137 ms."""
SLOWEST = 0.1
"""The share of the answers that is slower when only the tail is."""
PREDICTION_SHARES = np.array([0.04, 0.07, 0.10, 0.14, 0.18, 0.16, 0.12, 0.09, 0.06, 0.04])
"""How often each of ten bins is predicted."""


@dataclass(frozen=True, slots=True)
class Errors:
    """The probability that a request fails, in each arm."""

    stable: Rate
    candidate: Rate


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a release sees besides errors. `requests` a second reach both arms together, the share `weight` of
    them the candidate. Latency shares are per bucket, prediction shares per bin; None: nothing is told."""

    weight: Rate = 0.1
    requests: float = 50.0
    stable_latency: Floats | None = field(default_factory=lambda: latency_shares())
    candidate_latency: Floats | None = field(default_factory=lambda: latency_shares())
    stable_predictions: Floats | None = field(default_factory=lambda: PREDICTION_SHARES)
    candidate_predictions: Floats | None = field(default_factory=lambda: PREDICTION_SHARES)

    @classmethod
    def of_errors(cls, weight: Rate = 0.1, requests: float = 50.0) -> Traffic:
        """Requests and errors, nothing else."""
        return cls(weight, requests, None, None, None, None)


@dataclass(frozen=True, slots=True)
class ArmSecond:
    """One arm during one second: requests (R,), latencies (R, 16) and predictions (R, 10), or None."""

    requests: Floats
    latency: Floats | None
    predictions: Floats | None


def latency_shares(slower: float = 1.0, only_tail: bool = False, spread: float = SPREAD) -> Floats:
    """The share of answers per bucket when all answers take `slower` times as long; `only_tail`: the slowest
    tenth of them, the others as before. Either way the p95 is `slower` times as high."""
    usual = norm.cdf(np.log(BOUNDS_MS / MEDIAN_MS) / spread)
    below = norm.cdf(np.log(BOUNDS_MS / slower / MEDIAN_MS) / spread)
    if only_tail:
        below = np.maximum(below, np.minimum(usual, 1 - SLOWEST))
    shares: Floats = np.diff(below, prepend=0.0, append=1.0)
    return shares


def rate_at(rate: Rate, second: int) -> float:
    return rate(second) if callable(rate) else rate


def stable_second(rng: np.random.Generator, traffic: Traffic, second: int, releases: int) -> ArmSecond:
    """What reaches stable during that second in each of the releases."""
    requests = traffic.requests * (1 - rate_at(traffic.weight, second))
    return _arm(rng, requests, traffic.stable_latency, traffic.stable_predictions, releases)


def candidate_second(rng: np.random.Generator, traffic: Traffic, second: int, releases: int) -> ArmSecond:
    """What reaches the candidate during that second in each of the releases."""
    requests = traffic.requests * rate_at(traffic.weight, second)
    return _arm(rng, requests, traffic.candidate_latency, traffic.candidate_predictions, releases)


def failing(rng: np.random.Generator, arm: ArmSecond, rate: float) -> Floats:
    """How many of the requests fail, (R,)."""
    errors: Floats = rng.binomial(arm.requests.astype(np.int64), rate).astype(np.float64)
    return errors


def sample_of(
    stable: ArmSecond, candidate: ArmSecond, stable_errors: Floats, candidate_errors: Floats
) -> SampleBatch:
    """The sample that the judge gets of a second."""
    releases = len(stable.requests)
    there = np.ones(releases, bool)
    latency = predictions = None
    if stable.latency is not None and candidate.latency is not None:
        bounds = np.full((releases, MOST_BUCKETS - 1), np.inf)
        bounds[:, : len(BOUNDS_MS)] = BOUNDS_MS
        latency = LatencyBatch(
            _wide(stable.latency, MOST_BUCKETS), _wide(candidate.latency, MOST_BUCKETS), bounds
        )
    if stable.predictions is not None and candidate.predictions is not None:
        predictions = PredictionBatch(
            _wide(stable.predictions, MOST_BINS), _wide(candidate.predictions, MOST_BINS)
        )
    return SampleBatch(
        seconds=np.ones(releases),
        stable_requests=stable.requests,
        stable_errors=stable_errors,
        candidate_requests=candidate.requests,
        candidate_errors=candidate_errors,
        stable_present=there,
        candidate_present=there,
        comparable=there,
        latency=latency,
        predictions=predictions,
    )


def rows_of(arm: ArmSecond, rows: np.ndarray) -> ArmSecond:
    """The same second for some of the releases."""
    return ArmSecond(
        arm.requests[rows],
        None if arm.latency is None else arm.latency[rows],
        None if arm.predictions is None else arm.predictions[rows],
    )


def _arm(
    rng: np.random.Generator,
    requests: float,
    latency: Floats | None,
    predictions: Floats | None,
    releases: int,
) -> ArmSecond:
    count = rng.poisson(requests, releases)

    def spread(shares: Floats | None) -> Floats | None:
        return None if shares is None else rng.multinomial(count, shares).astype(np.float64)

    return ArmSecond(count.astype(np.float64), spread(latency), spread(predictions))


def _wide(counts: Floats, width: int) -> Floats:
    return np.pad(counts, ((0, 0), (0, width - counts.shape[1])))
