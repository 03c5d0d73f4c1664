"""The canary judge: a verdict that may be looked at every second, for ever.

Every test is an e-process: a non-negative E_t with E[E_tau] <= 1 under its null at every stopping
time, so that P(ever E_t >= 1/alpha) <= alpha (Ville 1939). Natural logs throughout.

Candidate against stable, errors (null: odds ratio psi_t <= psi0 in every interval)::

    log B_t(psi) = e_c (log psi - log psi0) - m(psi) + m(psi0)
    m(psi) = log sum_k h(k) psi^k / sum_k h(k),   h(k) = C(n_c, k) C(n_s, E - k)
    M_t(g) = B_t(g) (M_{t-1}(g) + w_t),   E_t = mean_g M_t(g) + weight not yet spent

Lindon & Malek, NeurIPS 2022 (arXiv 2011.03567); Turner, Ly & Grunwald, JSPI 2024 (2106.02693);
Hoeffding 1963, Theorem 4, for the closed form; Shin, Ramdas & Rinaldo, NEJSDS 2024, for restarts.

Absolute limit (null: p_t <= p0) and certificate (null: p_t >= p0)::

    log B_t(p1) = e log(p1/p0) + (n - e) log((1 - p1)/(1 - p0))

Use: keep `initial_state(1)[0]` per release as `state_to_bytes`; at each sample `fold`, then `judge`,
both over all releases of the pass at once. `docs/algorithms/canary-judge.md` tells what it promises.

Pure: numpy and scipy, no clock, no Django, no input or output.
"""

from releases.domain.judge.conclusion import SILENCE_SECONDS, Decisions, decide, kinds_of
from releases.domain.judge.counters import BESIDE, Increments, Totals, advance, increment, without_fastest
from releases.domain.judge.evidence import HARM_TESTS, Evidence, fold, tell_baseline, weigh
from releases.domain.judge.forecast import seconds_to_certificate
from releases.domain.judge.judging import judge
from releases.domain.judge.rules import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
    JudgeRules,
    RuleBatch,
)
from releases.domain.judge.samples import (
    MOST_BINS,
    MOST_BUCKETS,
    ArmFreshness,
    Freshness,
    LatencyBatch,
    PredictionBatch,
    Reading,
    Sample,
    SampleBatch,
)
from releases.domain.judge.state import (
    STATE_SIZE,
    StateLayoutError,
    initial_state,
    state_from_bytes,
    state_to_bytes,
)

__all__ = [
    "BESIDE",
    "ERRORS_VS_STABLE",
    "ERROR_RATE_MAX",
    "HARM_TESTS",
    "LATENCY_P95_MAX",
    "LATENCY_VS_STABLE",
    "MOST_BINS",
    "MOST_BUCKETS",
    "PREDICTIONS_VS_STABLE",
    "SILENCE_SECONDS",
    "STATE_SIZE",
    "ArmFreshness",
    "Decisions",
    "Evidence",
    "Freshness",
    "Increments",
    "JudgeRules",
    "LatencyBatch",
    "PredictionBatch",
    "Reading",
    "RuleBatch",
    "Sample",
    "SampleBatch",
    "StateLayoutError",
    "Totals",
    "advance",
    "decide",
    "fold",
    "increment",
    "initial_state",
    "judge",
    "kinds_of",
    "seconds_to_certificate",
    "state_from_bytes",
    "state_to_bytes",
    "tell_baseline",
    "weigh",
    "without_fastest",
]
