"""The figures that sentences are made of: one row of plain numbers per release, computed in batch.

Must not know any words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.conclusion import Conclusions
from releases.domain.judge.evidence import HARM_TESTS, Evidence
from releases.domain.judge.intervals import confidence_interval
from releases.domain.judge.rules import RuleBatch
from releases.domain.judge.samples import Bools, Floats
from releases.domain.judge.scatter import dispersion
from releases.domain.verdict import ArmCounts, Interval


@dataclass(frozen=True, slots=True)
class Counted:
    """What a rule counts in one arm, with the confidence sequence of its share."""

    requests: float
    errors: float
    low: float
    high: float
    expected: float = math.nan
    """What the candidate would have, were it like stable in the same samples; NaN where that is not told."""

    @property
    def arm(self) -> ArmCounts:
        return ArmCounts(int(self.requests), int(self.errors))

    @property
    def interval(self) -> Interval | None:
        """None without a request."""
        return (self.low, self.high) if self.requests else None


@dataclass(frozen=True, slots=True)
class Figures:
    """One release. Logs of evidence are natural, flags are 0 or 1, `seconds` NaN without a forecast.

    `bound`: the latency bound in ms at which the arms differ most, 0 before any is chosen. `bin`: the
    index of the prediction bin in which their shares differ most. `scatter_*`: by which the evidence of
    newer samples is divided. `driven_*`: one per entry of HARM_TESTS.
    """

    elapsed: float
    harm: float
    proven: float
    certified: float
    log_harm: float
    log_relative: float
    lost: float
    log_limit: float
    log_certificate: float
    limit_broken: float
    seconds: float
    hopeless: float
    log_latency: float
    lost_latency: float
    bound: float
    log_slow_limit: float
    log_slow_certificate: float
    slow_limit_broken: float
    slow_measurable: float
    slow_seconds: float
    slow_hopeless: float
    top_bound: float
    log_predictions: float
    log_differs: float
    bin: float
    scatter_errors: float
    scatter_latency: float
    driven_errors: float
    driven_thresholds: float
    driven_ranks: float
    driven_predictions: float


ARMS = ("stable", "candidate")
KINDS = ("errors", "slower", "too_slow", "predicted")
"""What is counted: errors; answers above `bound`; answers above the latency limit; `bin`."""
Counts = Mapping[tuple[str, str], Counted]


def figures_of(rules: RuleBatch, state: Floats, concluded: Conclusions) -> list[tuple[Figures, Counts]]:
    """Per release its figures, and by (kind, arm) what was counted."""
    bound, bins = _telling_bound(state, concluded.evidence), _telling_bin(state)
    columns = _columns(state, concluded, bound, bins)
    names = [field.name for field in fields(Figures)]
    rows = np.stack([columns[name] for name in names], axis=1).tolist()
    counts = _counts(rules, state, bound, bins).tolist()
    keys = [(kind, arm) for kind in KINDS for arm in ARMS]
    return [
        (Figures(*row), {key: Counted(*five) for key, five in zip(keys, of_release, strict=True)})
        for row, of_release in zip(rows, counts, strict=True)
    ]


def _columns(state: Floats, concluded: Conclusions, bound: Floats, bins: Floats) -> dict[str, Floats | Bools]:
    evidence, decisions = concluded.evidence, concluded.decisions
    slot = np.arange(len(state)), bound.astype(np.intp)
    has_bound = state[:, slots.BOUNDS][slot]
    assert len(HARM_TESTS) == decisions.driven.shape[1]  # noqa: S101 - the four columns below
    return {
        "elapsed": state[:, slots.ELAPSED],
        "harm": decisions.harm,
        "proven": decisions.proven,
        "certified": decisions.certified,
        "log_harm": decisions.log_harm,
        "log_relative": evidence.parts[:, 0],
        "lost": decisions.lost,
        "log_limit": evidence.limit,
        "log_certificate": evidence.certificate,
        "limit_broken": decisions.limit_broken,
        "seconds": concluded.seconds,
        "hopeless": concluded.hopeless,
        "log_latency": evidence.latency,
        "lost_latency": decisions.lost_latency,
        "bound": has_bound,
        "log_slow_limit": evidence.slow_limit,
        "log_slow_certificate": evidence.slow_certificate,
        "slow_limit_broken": decisions.slow_limit_broken,
        "slow_measurable": evidence.slow_measurable,
        "slow_seconds": concluded.slow_seconds,
        "slow_hopeless": concluded.slow_hopeless,
        "top_bound": state[:, slots.TOP_BOUND],
        "log_predictions": evidence.parts[:, 3],
        "log_differs": evidence.differs,
        "bin": bins,
        "scatter_errors": dispersion(state, slots.SCATTER_ERRORS),
        "scatter_latency": dispersion(state, slots.SCATTER_LATENCY),
        "driven_errors": decisions.driven[:, 0],
        "driven_thresholds": decisions.driven[:, 1],
        "driven_ranks": decisions.driven[:, 2],
        "driven_predictions": decisions.driven[:, 3],
    }


def _telling_bound(state: Floats, evidence: Evidence) -> Floats:
    """The index of the bound with most evidence; 0 where there is none."""
    at: Floats = evidence.thresholds.argmax(axis=1).astype(np.float64)
    return at


def _telling_bin(state: Floats) -> Floats:
    shares: list[Floats] = []
    for part in (slots.PREDICTED_STABLE, slots.PREDICTED_CANDIDATE):
        counts = state[:, part]
        shares.append(counts / np.maximum(counts.sum(axis=1), 1.0)[:, None])
    at: Floats = np.abs(shares[1] - shares[0]).argmax(axis=1).astype(np.float64)
    return at


def _counts(rules: RuleBatch, state: Floats, bound: Floats, bins: Floats) -> Floats:
    """(R, kinds x arms, 5): requests, errors, low, high, expected. One call makes all intervals."""
    rows = np.arange(len(state))

    def at(part: slice, column: Floats) -> Floats:
        picked: Floats = state[:, part][rows, column.astype(np.intp)]
        return picked

    pairs: Sequence[tuple[Floats, Floats]] = (
        (state[:, slots.STABLE_REQUESTS], state[:, slots.STABLE_ERRORS]),
        (state[:, slots.CANDIDATE_REQUESTS], state[:, slots.CANDIDATE_ERRORS]),
        (state[:, slots.STABLE_COMPARED], at(slots.ABOVE_STABLE, bound)),
        (state[:, slots.CANDIDATE_COMPARED], at(slots.ABOVE_CANDIDATE, bound)),
        (state[:, slots.STABLE_TIMED], state[:, slots.STABLE_SLOW]),
        (state[:, slots.CANDIDATE_TIMED], state[:, slots.CANDIDATE_SLOW]),
        (state[:, slots.PREDICTED_STABLE].sum(axis=1), at(slots.PREDICTED_STABLE, bins)),
        (state[:, slots.PREDICTED_CANDIDATE].sum(axis=1), at(slots.PREDICTED_CANDIDATE, bins)),
    )
    requests, errors = (np.stack([pair[index] for pair in pairs], axis=1) for index in (0, 1))
    limits = np.repeat(rules.log_roll_back, len(pairs))
    intervals = np.zeros((2, *requests.shape))
    seen = requests > 0
    intervals[:, seen] = confidence_interval(
        requests[seen], errors[seen], limits.reshape(requests.shape)[seen]
    )
    expected = np.full(requests.shape, np.nan)
    expected[:, 1] = state[:, slots.EXPECTED_ERRORS]
    expected[:, 3] = at(slots.EXPECTED_ABOVE, bound)
    return np.stack([requests, errors, *intervals, expected], axis=2)
