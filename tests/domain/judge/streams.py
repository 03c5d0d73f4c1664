"""Samples made by hand, and what the judge finds on simulated traffic of errors alone."""

from __future__ import annotations

import numpy as np

from bench.streams import Errors, Rate, Traffic
from bench.watching import first_seen
from releases.domain.judge import JudgeRules, RuleBatch, SampleBatch, fold, initial_state


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
    look: str = "harm",
) -> np.ndarray:
    """Seconds until `look` is first true of requests and errors alone, per release; infinite when never."""
    found = first_seen(
        Traffic.of_errors(weight, requests),
        Errors(stable, candidate),
        seconds=seconds,
        releases=releases,
        seed=seed,
        look=look,
        rules=rules or JudgeRules(),
    )
    return found.judge[look]
