"""E[B] of every factor of the judge, by exact enumeration of all small outcomes: never by chance.

Each function gives the largest expectation found under its null; none may exceed 1. Factors that the judge
does not hand out are read off its state after one sample that takes no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from scipy.special import gammaln
from scipy.stats import binom

from releases.domain.judge import (
    MOST_BINS,
    MOST_BUCKETS,
    JudgeRules,
    LatencyBatch,
    PredictionBatch,
    RuleBatch,
    SampleBatch,
    fold,
    initial_state,
)
from releases.domain.judge import state as slots
from releases.domain.judge.drift import PREDICTION_MARGIN
from releases.domain.judge.factors import (
    ODDS_RATIOS,
    log_certificate_factor,
    log_limit_factor,
    log_odds_closed,
    log_odds_exact,
    log_odds_factor,
)
from releases.domain.judge.samples import Floats
from releases.domain.judge.state import HAZARD_RATIOS, LATENCY_RATIOS, PREDICTION_RATIOS

LARGEST = 12
"""All margins with up to so many requests in both arms together."""
WORSE = [
    (ODDS_RATIOS, 1.0),
    (ODDS_RATIOS, 3.0),
    (LATENCY_RATIOS, 1.25),
    (PREDICTION_RATIOS, PREDICTION_MARGIN),
]
"""Every set of odds ratios in use whose null is "at most the margin", with margins that go with it."""
BETTER = [(HAZARD_RATIOS, 1.0), (HAZARD_RATIOS, 1 / 1.25), (1 / PREDICTION_RATIOS, 1 / PREDICTION_MARGIN)]
"""The same for the null "at least the margin"."""
_ROWS = 4_000

OddsFactor = Callable[[Floats, Floats, Floats, Floats, Floats, Floats], Floats]


def margins(largest: int) -> list[tuple[int, int, int]]:
    """All (n_s, n_c, E) with n_s + n_c <= largest that say something."""
    return [
        (n_s, n_c, errors)
        for n_s in range(1, largest)
        for n_c in range(1, largest - n_s + 1)
        for errors in range(1, n_s + n_c)
    ]


def enumerated(largest: int, odds_ratio: float) -> tuple[Floats, Floats, np.ndarray]:
    """Rows (n_s, n_c, E, e_c) of every outcome, its probability, and the index of its margins."""
    rows: list[tuple[int, int, int, int]] = []
    chances: list[float] = []
    group: list[int] = []
    for index, (n_s, n_c, errors) in enumerate(margins(largest)):
        k = np.arange(max(0, errors - n_s), min(errors, n_c) + 1)
        log_h = _log_choose(n_c, k) + _log_choose(n_s, errors - k)
        chance = np.exp(log_h - log_h.max()) * odds_ratio ** (k - k[0])
        chances.extend(chance / chance.sum())
        rows.extend((n_s, n_c, errors, int(x)) for x in k)
        group.extend([index] * len(k))
    return np.array(rows, float), np.array(chances), np.array(group)


def expectations(
    form: OddsFactor, ratios: Floats, margin: float, odds_ratio: float, largest: int = LARGEST
) -> Floats:
    """E[B] for each of the margins, when the true odds ratio is this; (margins, ratios)."""
    rows, chances, group = enumerated(largest, odds_ratio)
    n_s, n_c, errors, e_c = rows.T
    factor = np.exp(form(n_s, n_c, errors, e_c, np.full(len(rows), margin), ratios))
    return np.stack([np.bincount(group, chances * column) for column in factor.T])


def batched(n_s: Floats, n_c: Floats, errors: Floats, e_c: Floats, margin: Floats, ratios: Floats) -> Floats:
    """The factor as the judge folds it: the exact form or the closed one."""
    return log_odds_factor(n_s, errors - e_c, n_c, e_c, margin, ratios)


def odds_ratios() -> float:
    """Candidate against stable: each set of ratios and direction, both forms, on the margin and inside."""
    return max(
        float(expectations(form, ratios, margin, margin * inside if ratios[0] > 1 else margin / inside).max())
        for form in (batched, log_odds_exact, log_odds_closed)
        for ratios, margin in WORSE + BETTER
        for inside in (1.0, 0.5)
    )


def limits() -> float:
    """An arm against its limit."""
    return _binomial(log_limit_factor, lambda limit: (limit, 0.3 * limit, 0.0))


def certificates() -> float:
    """The proof of keeping the limit."""
    return _binomial(log_certificate_factor, lambda limit: (limit, 2 * limit, 1.0))


def log_rank(largest: int = LARGEST) -> float:
    """The whole walk over three buckets, given how many are answered in each: all ways to deal the answers
    to the arms are equally likely. The candidate has answered before, for its first answers do not count."""
    worst, past = 0.0, (300, 400, 300, 30, 40, 30)
    for counts in _chunks(_deals(largest)):
        stable, candidate = counts[:, 0:3], counts[:, 3:6]
        both, n_c = stable + candidate, candidate.sum(axis=1)
        log_chance = _log_choose(both, candidate).sum(axis=1) - _log_choose(both.sum(axis=1), n_c)
        group = np.unique(np.column_stack([both, n_c]), axis=0, return_inverse=True)[1].ravel()
        log_b = _folded(stable, candidate, slots.RANKS, latency=True, past=past)
        for column in np.exp(log_b + log_chance[:, None]).T:
            worst = max(worst, float(np.bincount(group, column).max()))
    return worst


def drift_flag(largest: int = LARGEST) -> float:
    """Three bins, several pasts, several laws that both arms share."""
    worst = 0.0
    for past in ((0, 0, 0, 0, 0, 0), (9, 3, 1, 1, 0, 0), (400, 300, 200, 0, 5, 30), (5, 5, 5, 0, 90, 0)):
        for counts in _chunks(_splits(largest)):
            stable, candidate = counts[:, 0:3], counts[:, 3:6]
            group = np.unique(
                np.column_stack([stable.sum(axis=1), candidate.sum(axis=1)]), axis=0, return_inverse=True
            )[1].ravel()
            log_b = _folded(stable, candidate, slots.DRIFT_FLAG, latency=False, past=past)[:, 0]
            for law in ((1 / 3, 1 / 3, 1 / 3), (0.7, 0.2, 0.1), (0.05, 0.05, 0.9), (0.5, 0.499, 0.001)):
                log_chance = _log_multinomial(stable, law) + _log_multinomial(candidate, law)
                worst = max(worst, float(np.bincount(group, np.exp(log_b + log_chance)).max()))
    return worst


PRIMITIVES: dict[str, Callable[[], float]] = {
    "candidate against stable": odds_ratios,
    "limit": limits,
    "certificate": certificates,
    "log-rank": log_rank,
    "drift flag": drift_flag,
}


def _binomial(
    form: Callable[[Floats, Floats, Floats], Floats], null: Callable[[float], Sequence[float]]
) -> float:
    worst = 0.0
    for requests, limit in product(range(1, LARGEST + 1), (0.001, 0.01, 0.05, 0.2)):
        errors = np.arange(requests + 1.0)
        factor = np.exp(form(np.full_like(errors, requests), errors, np.full_like(errors, limit)))
        for rate in null(limit):
            worst = max(worst, float((binom.pmf(errors, requests, rate) @ factor).max()))
    return worst


def _deals(largest: int) -> Iterator[list[tuple[int, ...]]]:
    """For each way to answer up to `largest` requests in three buckets: all ways to deal them to two arms."""
    for both in product(range(largest + 1), repeat=3):
        if 2 <= sum(both) <= largest:
            yield [
                (*(all_ - own for all_, own in zip(both, candidate, strict=True)), *candidate)
                for candidate in product(*(range(count + 1) for count in both))
            ]


def _splits(largest: int) -> Iterator[list[tuple[int, ...]]]:
    """For each pair of arm sizes: all ways to predict three bins in each of the arms."""
    ways = {n: [(a, b, n - a - b) for a in range(n + 1) for b in range(n - a + 1)] for n in range(largest)}
    for n_s in range(1, largest):
        for n_c in range(1, largest - n_s + 1):
            yield [(*stable, *candidate) for stable, candidate in product(ways[n_s], ways[n_c])]


def _chunks(groups: Iterator[list[tuple[int, ...]]]) -> Iterator[Floats]:
    """Whole groups, some thousand rows at a time."""
    rows: list[tuple[int, ...]] = []
    for group in groups:
        rows += group
        if len(rows) >= _ROWS:
            yield np.array(rows, float)
            rows = []
    if rows:
        yield np.array(rows, float)


def _folded(
    stable: Floats, candidate: Floats, part: slice, latency: bool, past: Sequence[int] = ()
) -> Floats:
    """log B of each row: how far one sample without duration moves log M."""
    rules, state = RuleBatch.of([JudgeRules()]), initial_state(1)
    if past:
        history = np.array([past], float)
        state = fold(rules, state, _sample(history[:, :3], history[:, 3:], latency))
    state = np.repeat(state, len(stable), axis=0)
    rules = RuleBatch.of([JudgeRules()] * len(stable))
    moved: Floats = fold(rules, state, _sample(stable, candidate, latency))[:, part] - state[:, part]
    return moved


def _sample(stable: Floats, candidate: Floats, latency: bool) -> SampleBatch:
    zeros, there = np.zeros(len(stable)), np.ones(len(stable), bool)
    width = MOST_BUCKETS if latency else MOST_BINS
    wide = [np.pad(arm, ((0, 0), (0, width - arm.shape[1]))) for arm in (stable, candidate)]
    bounds = np.full((len(stable), MOST_BUCKETS - 1), np.inf)
    bounds[:, :2] = 10.0, 20.0
    return SampleBatch(
        seconds=zeros,
        stable_requests=stable.sum(axis=1),
        stable_errors=zeros,
        candidate_requests=candidate.sum(axis=1),
        candidate_errors=zeros,
        stable_present=there,
        candidate_present=there,
        comparable=there,
        latency=LatencyBatch(wide[0], wide[1], bounds) if latency else None,
        predictions=None if latency else PredictionBatch(wide[0], wide[1]),
    )


def _log_choose(of: Floats | int, number: Floats | np.ndarray) -> Floats:
    chosen: Floats = gammaln(of + 1.0) - gammaln(number + 1.0) - gammaln(of - number + 1.0)
    return chosen


def _log_multinomial(counts: Floats, law: Sequence[float]) -> Floats:
    log: Floats = gammaln(counts.sum(axis=1) + 1) - gammaln(counts + 1).sum(axis=1) + counts @ np.log(law)
    return log
