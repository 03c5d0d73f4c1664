"""How long a thousand releases take: one sample each, folded and judged with all sentences, on one core.

Time is that of the processor, so that what else runs on the machine does not count. Set OMP_NUM_THREADS=1 and
OPENBLAS_NUM_THREADS=1 (`make bench-judge` does), so that no library takes a second core.
"""

from __future__ import annotations

import time

import numpy as np

from bench.streams import Traffic, candidate_second, failing, sample_of, stable_second
from releases.domain.judge import Freshness, JudgeRules, RuleBatch, SampleBatch, fold, initial_state, judge
from releases.domain.judge.samples import Floats

RULES = JudgeRules(error_rate_max=0.01, latency_p95_max_ms=300.0)
WARM_UP = 30
"""Samples before the first that is measured, so that bounds and edges are chosen."""


def milliseconds(releases: int, repeats: int, seed: int) -> Floats:
    """What each of `repeats` samples of `releases` releases at once takes, errors, 16 latency buckets, ten
    bins of predictions and both limits. Every tenth candidate fails more often."""
    rng, traffic = np.random.default_rng(seed), Traffic()
    rate = np.where(np.arange(releases) % 10 == 0, 0.05, 0.005)
    table, state, fresh = RuleBatch.of([RULES] * releases), initial_state(releases), [Freshness()] * releases
    spent = []
    for second in range(WARM_UP + repeats):
        sample = _sample(rng, traffic, second, releases, rate)
        began = time.process_time()
        state = fold(table, state, sample)
        if second >= WARM_UP:
            verdicts = judge(table, state, fresh)
            spent.append(1_000 * (time.process_time() - began))
            assert all(verdict.summary for verdict in verdicts)
    return np.array(spent)


def _sample(
    rng: np.random.Generator, traffic: Traffic, second: int, releases: int, rate: Floats
) -> SampleBatch:
    stable = stable_second(rng, traffic, second, releases)
    candidate = candidate_second(rng, traffic, second, releases)
    errors = rng.binomial(candidate.requests.astype(np.int64), rate).astype(np.float64)
    return sample_of(stable, candidate, failing(rng, stable, 0.005), errors)
