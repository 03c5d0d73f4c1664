"""Streams of requests to judge: Poisson arrivals, one sample a second, many releases at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from releases.domain.judge import (
    Decisions,
    JudgeRules,
    RuleBatch,
    SampleBatch,
    decide,
    fold,
    initial_state,
    weigh,
)

Rate = float | Callable[[int], float]


def batch(stable, candidate, *, seconds=1.0, present=(True, True), comparable=True) -> SampleBatch:
    """One sample per release; each arm is (requests, errors), numbers or arrays."""
    arms = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, float)) for x in (*stable, *candidate)))
    size = arms[0].shape
    return SampleBatch(
        seconds=np.full(size, float(seconds)),
        stable_requests=arms[0],
        stable_errors=arms[1],
        candidate_requests=arms[2],
        candidate_errors=arms[3],
        stable_present=np.full(size, present[0]),
        candidate_present=np.full(size, present[1]),
        comparable=np.full(size, comparable),
    )


def judged(samples, rules: JudgeRules | None = None):
    """Rules and state of one release after these samples."""
    table = RuleBatch.of([rules or JudgeRules()])
    state = initial_state(1)
    for sample in samples:
        state = fold(table, state, sample)
    return table, state


def simulate(
    *,
    seconds: int,
    releases: int,
    stable: Rate,
    candidate: Rate,
    weight: Rate = 0.1,
    requests: float = 50.0,
    rules: JudgeRules | None = None,
    seed: int = 20261123,
    look: Callable[[Decisions], np.ndarray] = lambda decisions: decisions.harm,
) -> np.ndarray:
    """Seconds until `look` is first true, per release; infinite when it never is."""
    rng = np.random.default_rng(seed)
    table = RuleBatch.of([rules or JudgeRules()] * releases)
    state = initial_state(releases)
    first = np.full(releases, np.inf)
    silent = np.zeros(releases, bool)
    for second in range(seconds):
        share = _at(weight, second)
        n_s = rng.poisson(requests * (1 - share), releases)
        n_c = rng.poisson(requests * share, releases)
        e_s = rng.binomial(n_s, _at(stable, second))
        e_c = rng.binomial(n_c, _at(candidate, second))
        state = fold(table, state, batch((n_s, e_s), (n_c, e_c)))
        seen = look(decide(table, weigh(table, state), silent))
        first = np.where(np.isinf(first) & seen, second + 1, first)
        if np.isfinite(first).all():
            break
    return first


def _at(rate: Rate, second: int) -> float:
    return rate(second) if callable(rate) else rate
