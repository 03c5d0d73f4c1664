"""When a candidate will be certified: simulated paths through the judge's own certificate.

A certificate depends on counts alone, so a path is simulated once in *requests given to the candidate*;
a course then tells when so many have been given. One simulation serves every traffic, weight and hold.
Must not know of plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from releases.domain.forecast.course import Floats
from releases.domain.judge.factors import CERTIFICATE_SHARES, log_certificate_factor
from releases.domain.judge.restart import log_mean_exp

PATHS = 200
SEED = 20261123
LONGEST_REACH = 1e4
"""Nobody waits for more than so many times what a flawless candidate needs."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A share that has to be proven below `limit`, while in truth it is `rate`: one for all paths or one
    for each. `evidence`: the logs that have been gathered already, one per alternative. `phi`: by which the
    judge divides what comes, for stable's counts come in bursts."""

    limit: float
    rate: float | Floats
    evidence: Floats = field(default_factory=lambda: np.zeros(len(CERTIFICATE_SHARES)))
    phi: float = 1.0

    def growth(self, rate: float) -> Floats:
        """What one more request adds to the logs, on average."""
        factors = log_certificate_factor(np.ones(1), np.array([rate]), np.array([self.limit]))
        return factors.reshape(-1) / self.phi


def requests_expected(limit: Limit, log_certify: float, rate: float | None = None) -> float:
    """Requests until the average path is certified; inf when it never is, or not within reason."""
    growth = limit.growth(float(np.mean(limit.rate)) if rate is None else rate)
    unit = float(log_certify + np.log(len(CERTIFICATE_SHARES))) / limit.growth(0.0).max()
    reach = np.concatenate([[0.0], np.geomspace(unit / 1e3, unit * LONGEST_REACH, 500)])
    there = log_mean_exp(limit.evidence + reach[:, None] * growth) >= log_certify
    return float(reach[there.argmax()]) if there.any() else float("inf")


def requests_needed(limits: Sequence[Limit], log_certify: float) -> Floats:
    """Requests until every limit is certified, on each of PATHS paths; inf where never."""
    random = np.random.default_rng(SEED)
    needed = np.zeros(PATHS)
    for limit in limits:
        scale = requests_expected(limit, log_certify)
        if not np.isfinite(scale):
            scale = 5 * requests_expected(limit, log_certify, rate=0.0)
        scale = max(scale, 20.0)
        reach = np.concatenate([np.linspace(0, 3 * scale, 120), np.geomspace(3 * scale, 60 * scale, 60)[1:]])
        logs = log_evidence(limit, np.broadcast_to(reach, (PATHS, len(reach))), random)
        needed = np.maximum(needed, _crossing(reach, logs, log_certify))
    return needed


def log_evidence(limit: Limit, reach: Floats, random: np.random.Generator) -> Floats:
    """Log-evidence on paths after so many expected requests; (PATHS, K) -> (PATHS, K), `reach` rising."""
    more = np.diff(reach, axis=1, prepend=0.0)
    rate = np.broadcast_to(limit.rate, (len(reach),))[:, None]
    bad = random.poisson(more * rate).cumsum(axis=1).astype(np.float64)
    good = random.poisson(more * (1 - rate)).cumsum(axis=1).astype(np.float64)
    # The log of a factor is linear in its counts: that of the sums is the sum of the logs.
    grown = (
        log_certificate_factor((good + bad).ravel(), bad.ravel(), np.full(bad.size, limit.limit)) / limit.phi
    )
    return log_mean_exp(grown.reshape(*bad.shape, -1) + limit.evidence)


def _crossing(reach: Floats, logs: Floats, bar: float) -> Floats:
    """Where each path first comes to the bar, between two points of the grid in proportion."""
    above = logs >= bar
    at = above.argmax(axis=1)
    rows = np.arange(len(logs))
    before = np.maximum(at - 1, 0)
    low, high = logs[rows, before], logs[rows, at]
    part = np.where(high > low, (bar - low) / np.where(high > low, high - low, 1.0), 1.0)
    crossed = reach[before] + np.clip(part, 0, 1) * (reach[at] - reach[before])
    return np.where(above.any(axis=1), crossed, np.inf)
