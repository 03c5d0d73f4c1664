"""When a regression would be seen: simulated samples through the judge's own fold, weigh and decide.

Samples grow longer as time goes on: a longer sample is as valid as many short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from releases.domain.forecast.course import Course, Floats
from releases.domain.judge import RuleBatch, SampleBatch, decide, fold, initial_state, weigh
from releases.domain.judging_rules import judge_rules
from releases.domain.plan import RolloutPlan

PATHS = 100
SEED = 20261123
SHORTEST_SAMPLE = 1.0
GROWTH = 1.2
"""Each sample is so much longer than the one before."""


def seconds_until_seen(
    plan: RolloutPlan,
    course: Course,
    requests_per_second: float,
    stable_rate: float,
    candidate_rates: Sequence[float],
    *,
    start: Floats | None = None,
    paths: int = PATHS,
) -> list[float | None]:
    """Median seconds until harm is found, for candidates that fail at these rates from now on; None when
    not within the plan's time on half of the paths. `start`: the judge's state, without one the first.
    Only errors are simulated; what else is compared takes its part of the weight, as it does in truth."""
    random = np.random.default_rng(SEED)
    grid = _grid(course)
    truth = np.repeat(np.array(candidate_rates), paths)
    state = initial_state(len(truth)) if start is None else np.repeat(start[None], len(truth), axis=0)
    seen, rows = np.full(len(truth), np.inf), np.arange(len(truth))
    before = np.full(len(truth), -np.inf)
    given = [requests_per_second * np.diff(part) for part in course.given(grid)]
    tables = {stable: [judge_rules(plan, has_stable=stable)] for stable in (True, False)}
    for index, (begins, ends) in enumerate(pairwise(grid)):
        rules = RuleBatch.of(tables[course.split_at(float(begins)).stable > 0] * len(rows))
        samples = _samples(ends - begins, given[0][index], given[1][index], truth[rows], stable_rate, random)
        state = fold(rules, state, samples)
        decided = decide(rules, weigh(rules, state), np.zeros(len(rows), dtype=np.bool_))
        rise = decided.log_harm - before
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.clip((rules.log_roll_back - before) / rise, 0.0, 1.0)
        whole = ~np.isfinite(part) | (rise <= 0) | (ends - begins <= SHORTEST_SAMPLE)
        part = np.where(whole, 1.0, part)
        seen[rows[decided.harm]] = (begins + part * (ends - begins))[decided.harm]
        done = np.isfinite(seen).reshape(-1, paths).sum(axis=1) > paths // 2
        left = ~decided.harm & ~np.repeat(done, paths)[rows]
        rows, state, before = rows[left], state[left], decided.log_harm[left]
        if not len(rows):
            break
    medians = np.sort(seen.reshape(-1, paths), axis=1)[:, paths // 2]
    return [float(median) if np.isfinite(median) else None for median in medians]


def _grid(course: Course) -> Floats:
    """Ends of samples: fine where judging begins, coarse later, none across a change of the split."""
    edges = [stretch.begins for stretch in course.stretches] + [course.warm_up, course.window]
    at, length = course.warm_up, SHORTEST_SAMPLE
    while at < course.window:
        at += length
        length = max(length, (GROWTH - 1) * (at - course.warm_up))
        edges.append(at)
    return np.unique(np.clip([0.0, *edges], 0.0, course.window))


def _samples(
    seconds: float,
    candidate: float,
    stable: float,
    candidate_rates: Floats,
    stable_rate: float,
    random: np.random.Generator,
) -> SampleBatch:
    """One sample for each row; `candidate` and `stable` are the requests to be expected."""
    bad = random.poisson(candidate * candidate_rates).astype(np.float64)
    good = random.poisson(candidate * (1 - candidate_rates)).astype(np.float64)
    size = len(bad)
    stable_bad = random.poisson(stable * stable_rate, size).astype(np.float64)
    stable_good = random.poisson(stable * (1 - stable_rate), size).astype(np.float64)
    everywhere = np.ones(size, dtype=np.bool_)
    return SampleBatch(
        seconds=np.full(size, seconds),
        stable_requests=stable_good + stable_bad,
        stable_errors=stable_bad,
        candidate_requests=good + bad,
        candidate_errors=bad,
        stable_present=everywhere,
        candidate_present=everywhere,
        comparable=everywhere,
    )
