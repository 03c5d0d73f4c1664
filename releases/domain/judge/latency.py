"""Latency, from histogram increments: two tests against stable, and an absolute limit on the p95.

- *thresholds*: for each of at most 8 bounds, "slower than the bound" is a count like errors. Averaged
  over the bounds; says which bound moved.
- *log-rank*: walk the buckets upward; of those who still wait, who is answered in this bucket? A slower
  candidate is answered less often than its share. (ter Schure et al., NEJSDS 2024, arXiv 2011.06931.)
- *limit*: "p95 <= X ms" is a limit of 5 % on answers slower than the smallest bound >= X.

Which bounds are compared is chosen once, from what was known of stable before any of it was tested.
Must not know how tests are merged.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.factors import log_certificate_factor, log_limit_factor, log_odds_factor
from releases.domain.judge.restart import MOST_OF_OTHERS, log_mean_exp, log_unspent, most, restart
from releases.domain.judge.rules import RuleBatch
from releases.domain.judge.samples import Bools, Floats, LatencyBatch, SampleBatch
from releases.domain.judge.scatter import dispersion, fold_scatter
from releases.domain.judge.spread import spread

SLOW_SHARE = 0.05
"""What a limit on the p95 means: at most this share of the answers may be slower."""
KNOWN_ANSWERS = 100
"""So many answers of stable have to be known before bounds are chosen."""
SETTLING_ANSWERS = 20
"""The candidate's first answers are not compared: a new process pays for cold caches once."""
LEAST_ABOVE, MOST_ABOVE = 0.002, 0.6
"""Only bounds with this share of stable's answers above them are compared. Below stable's median a
process that is asked less often has colder caches and fewer of the very fastest answers: the same version
at 10 % of the traffic was told from itself there, and no caller minds."""


def fold_latency(
    rules: RuleBatch, after: Floats, samples: SampleBatch, compared: Bools, judged: Bools, log_weight: Floats
) -> None:
    """Fold one sample into `after`, if it has latencies; (R,) `compared`: the arms cover the same time."""
    latency, limit = samples.latency, most(MOST_OF_OTHERS, samples.seconds)
    if latency is None:
        _rest(after, log_weight)
        return
    settled = after[:, slots.CANDIDATE_SEEN] >= SETTLING_ANSWERS
    timed = (judged & compared & settled & rules.compares_latency)[:, None]
    stable, candidate = np.where(timed, latency.stable, 0.0), np.where(timed, latency.candidate, 0.0)
    scatter = dispersion(after, slots.SCATTER_LATENCY)
    chosen = after[:, slots.BOUNDS.start] > 0
    _fold_ranks(
        rules,
        after,
        _from_median(after, stable, latency.bounds),
        _from_median(after, candidate, latency.bounds),
        log_weight,
        scatter,
        limit,
    )
    _fold_thresholds(rules, after, stable, candidate, latency.bounds, log_weight, scatter, limit)
    _learn_scatter(after, latency, judged & latency.stable.any(axis=1))
    _learn(after, latency, ~chosen)
    after[:, slots.CANDIDATE_SEEN] += latency.candidate.sum(axis=1)
    _fold_limit(rules, after, latency, judged, log_weight, scatter)


def _rest(after: Floats, log_weight: Floats) -> None:
    """A sample without latencies: time passes, and nothing is learned."""
    for part in (slots.RANKS, slots.SLOW_LIMIT, slots.STABLE_SLOW_LIMIT):
        after[:, part] = restart(after[:, part], np.zeros(1), log_weight)
    chosen = after[:, slots.BOUNDS.start] > 0
    moved = restart(after[:, slots.THRESHOLDS], np.zeros(1), log_weight)
    after[:, slots.THRESHOLDS] = np.where(chosen[:, None], moved, after[:, slots.THRESHOLDS])


def log_thresholds(state: Floats, unspent: Floats) -> Floats:
    """Log evidence at each bound, (R, MOST_THRESHOLDS); -inf where there is no bound."""
    log_m = state[:, slots.THRESHOLDS].reshape(len(state), slots.MOST_THRESHOLDS, -1)
    evidence = np.logaddexp(log_mean_exp(log_m), unspent[:, None])
    return np.where(state[:, slots.BOUNDS] > 0, evidence, -np.inf)


def begin_with(state: Floats, bounds: Floats, answers: Floats) -> None:
    """Tell what stable did before the rollout: (R, MOST_BUCKETS - 1) bounds in ms, infinite where there
    are fewer, and (R, MOST_BUCKETS) answers. Only for a state that has seen no sample."""
    state[:, slots.HISTOGRAM] = answers
    state[:, slots.TOP_BOUND] = _top(bounds)
    _choose(state, bounds, answers.sum(axis=1) >= KNOWN_ANSWERS)


def _learn_scatter(after: Floats, latency: LatencyBatch, told: Bools) -> None:
    """Learn how stable's answers above the chosen bounds scatter."""
    totals, above = _at_bounds(after, latency.stable, latency.bounds)
    told = told & (after[:, slots.BOUNDS.start] > 0)
    fold_scatter(after, slots.SCATTER_LATENCY, totals.max(axis=1), above, told)


def _fold_ranks(
    rules: RuleBatch,
    after: Floats,
    stable: Floats,
    candidate: Floats,
    log_weight: Floats,
    scatter: Floats,
    limit: Floats,
) -> None:
    """Given who still waits and how many are answered in a bucket, how many of these are the
    candidate's? Null: a hazard ratio of at least 1 over the margin."""
    waiting = [_still_waiting(arm).ravel() for arm in (stable, candidate)]
    margin = np.repeat(1 / rules.margin_latency, stable.shape[1])
    factor = log_odds_factor(
        waiting[0], stable.ravel(), waiting[1], candidate.ravel(), margin, slots.HAZARD_RATIOS
    )
    summed = factor.reshape(*stable.shape, -1).sum(axis=1) / scatter[:, None]
    summed = np.minimum(summed, limit)
    after[:, slots.RANKS] = restart(after[:, slots.RANKS], summed, log_weight)


def _fold_thresholds(
    rules: RuleBatch,
    after: Floats,
    stable: Floats,
    candidate: Floats,
    bounds: Floats,
    log_weight: Floats,
    scatter: Floats,
    limit: Floats,
) -> None:
    n_s, slow_s = _at_bounds(after, stable, bounds)
    n_c, slow_c = _at_bounds(after, candidate, bounds)
    margin = np.repeat(rules.margin_latency, slots.MOST_THRESHOLDS)
    factor = log_odds_factor(
        n_s.ravel(), slow_s.ravel(), n_c.ravel(), slow_c.ravel(), margin, slots.LATENCY_RATIOS
    )
    factor = np.minimum(factor.reshape(len(after), -1) / scatter[:, None], limit)
    chosen = after[:, slots.BOUNDS.start] > 0
    moved = restart(after[:, slots.THRESHOLDS], factor, log_weight)
    after[:, slots.THRESHOLDS] = np.where(chosen[:, None], moved, after[:, slots.THRESHOLDS])
    after[:, slots.ABOVE_STABLE] += slow_s
    after[:, slots.ABOVE_CANDIDATE] += slow_c
    after[:, slots.EXPECTED_ABOVE] += (slow_s + slow_c) * n_c / np.maximum(n_s + n_c, 1.0)
    after[:, slots.STABLE_COMPARED] += n_s.max(axis=1)
    after[:, slots.CANDIDATE_COMPARED] += n_c.max(axis=1)


def _at_bounds(state: Floats, arm: Floats, bounds: Floats) -> tuple[Floats, Floats]:
    """All answers, and those slower, at each chosen bound, (R, MOST_THRESHOLDS); zeros where the bound is
    none of this histogram's. By value, not by position: bounds may have changed meanwhile."""
    at = state[:, slots.BOUNDS]
    place = (bounds[:, None, :] == at[:, :, None]) & (at > 0)[:, :, None]
    known = place.any(axis=2)
    slower = (place * _slower(arm)[:, None, :]).sum(axis=2)
    return np.where(known, arm.sum(axis=1)[:, None], 0.0), np.where(known, slower, 0.0)


def _learn(after: Floats, latency: LatencyBatch, learning: Bools) -> None:
    """Add to what is known of stable, and choose bounds for the samples to come."""
    known = np.where(learning[:, None], after[:, slots.HISTOGRAM] + latency.stable, after[:, slots.HISTOGRAM])
    after[:, slots.HISTOGRAM] = known
    _choose(after, latency.bounds, learning & (known.sum(axis=1) >= KNOWN_ANSWERS))


def _choose(state: Floats, bounds: Floats, now: Bools) -> None:
    """Spread the bounds evenly over those that tell something and differ from each other."""
    if not now.any():
        return
    answers = state[now][:, slots.HISTOGRAM]
    total = answers.sum(axis=1)[:, None]
    above = _slower(answers)
    share = (above + 0.5) / (total + 1)
    differs = np.diff(above, axis=1, prepend=total) != 0
    telling = (
        np.isfinite(bounds[now])
        & (bounds[now] > 0)
        & (share >= LEAST_ABOVE)
        & (share <= MOST_ABOVE)
        & differs
    )
    chosen = np.zeros((len(answers), slots.MOST_THRESHOLDS))
    rows, columns, place = spread(telling, slots.MOST_THRESHOLDS)
    chosen[rows, place] = bounds[now][rows, columns]
    state[now, slots.BOUNDS] = chosen
    begun = chosen[:, 0] > 0
    spent = np.log(-np.expm1(log_unspent(state[now, slots.JUDGED])))
    tests = np.where(begun[:, None], spent[:, None], state[now][:, slots.THRESHOLDS])
    state[now, slots.THRESHOLDS] = tests


def _fold_limit(
    rules: RuleBatch, after: Floats, latency: LatencyBatch, judged: Bools, log_weight: Floats, scatter: Floats
) -> None:
    """Both arms against the limit on the p95, each by itself; the certificate does not restart."""
    at = latency.bounds >= rules.latency_limit[:, None]
    bound = np.where(np.isfinite(latency.bounds), at, False)
    measured = judged & rules.limits_latency & bound.any(axis=1)
    column = bound.argmax(axis=1)
    rows = np.arange(len(after))
    counts = np.stack(
        [
            np.where(measured, count, 0.0)
            for arm in (latency.stable, latency.candidate)
            for count in (arm.sum(axis=1), _slower(arm)[rows, column])
        ],
        axis=1,
    )
    after[:, slots.STABLE_TIMED : slots.CANDIDATE_SLOW + 1] += counts
    after[:, slots.TOP_BOUND] = np.maximum(after[:, slots.TOP_BOUND], _top(latency.bounds))
    share = np.full(len(after), SLOW_SHARE)
    for part, timed, slow in ((slots.STABLE_SLOW_LIMIT, 0, 1), (slots.SLOW_LIMIT, 2, 3)):
        factor = log_limit_factor(counts[:, timed], counts[:, slow], share) / scatter[:, None]
        after[:, part] = restart(after[:, part], factor, log_weight)
    proof = log_certificate_factor(counts[:, 2], counts[:, 3], share) / scatter[:, None]
    after[:, slots.SLOW_CERTIFICATE] += proof


def _from_median(state: Floats, arm: Floats, bounds: Floats) -> Floats:
    """The histogram with all buckets up to the lowest compared bound as one; nothing before it is chosen."""
    lowest = state[:, slots.BOUNDS.start][:, None]
    edges = np.concatenate([bounds, np.full((len(bounds), 1), np.inf)], axis=1)
    fast = edges <= lowest
    merged = np.where(fast, 0.0, arm)
    merged[:, 0] += np.where(fast, arm, 0.0).sum(axis=1)
    return np.where(lowest > 0, merged, 0.0)


def _still_waiting(arm: Floats) -> Floats:
    """Answers in this bucket or a later one, (R, J)."""
    waiting: Floats = arm[:, ::-1].cumsum(axis=1)[:, ::-1]
    return waiting


def _slower(arm: Floats) -> Floats:
    """Answers slower than each bound, (R, J - 1)."""
    return _still_waiting(arm)[:, 1:]


def _top(bounds: Floats) -> Floats:
    top: Floats = np.where(np.isfinite(bounds), bounds, 0.0).max(axis=1)
    return top
