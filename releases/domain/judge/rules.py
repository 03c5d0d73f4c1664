"""What the judge is asked: the rules of one release, and those of many as arrays.

The plan is where they come from; this module must not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge.samples import Bools, Floats

ERRORS_VS_STABLE = "errors_vs_stable"
LATENCY_VS_STABLE = "latency_vs_stable"
PREDICTIONS_VS_STABLE = "predictions_vs_stable"
ERROR_RATE_MAX = "error_rate_max"
LATENCY_P95_MAX = "latency_p95_max"


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """The rules of one release.

    `error_rate_max`: limit on the candidate's error rate, a share in (0, 1); None switches it off.
    `latency_p95_max_ms`: limit on the 95th percentile of its latency; None switches it off.
    `compare_errors`, `compare_latency`, `compare_predictions`: compare with stable.
    `margin_errors`, `margin_latency`: the odds ratio (of failing, of being slower) still accepted.
    `alpha`: a healthy candidate is rolled back with at most this probability, ever.
    `beta`: a candidate that is at its limit or beyond is certified with at most this probability.
    `warm_up_seconds`: what happens so long after the first sample began is not judged.
    `has_stable`: False for a first release, and wherever stable gets no traffic by plan.
    `prediction_names`: what the bins of predictions are called, for sentences only.
    """

    error_rate_max: float | None = 0.01
    latency_p95_max_ms: float | None = None
    compare_errors: bool = True
    compare_latency: bool = True
    compare_predictions: bool = True
    margin_errors: float = 1.0
    margin_latency: float = 1.0
    alpha: float = 0.01
    beta: float = 0.05
    warm_up_seconds: float = 0.0
    has_stable: bool = True
    prediction_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.error_rate_max is not None and not 0 < self.error_rate_max < 1:
            raise ValueError("error_rate_max must lie between 0 and 1, both excluded")
        if self.latency_p95_max_ms is not None and not 0 < self.latency_p95_max_ms <= 1e9:
            raise ValueError("latency_p95_max_ms must be above 0 (and at most 1e9)")
        for name in ("margin_errors", "margin_latency"):
            if not 1 <= getattr(self, name) <= 1e6:
                raise ValueError(f"{name} must be at least 1 (and at most 1e6)")
        if not 1e-12 <= self.alpha < 1 or not 1e-12 <= self.beta < 1:
            raise ValueError("alpha and beta must lie between 0 and 1, both excluded")
        if not 0 <= self.warm_up_seconds <= 1e9:
            raise ValueError("warm_up_seconds must not be negative (nor above 1e9)")


@dataclass(frozen=True, slots=True)
class RuleBatch:
    """The rules of R releases; `rules` as they were given, the rest arrays of shape (R,).

    `compares`, `compares_latency`, `compares_predictions`: what is compared with stable. `limited`: there
    is an error limit; `error_limit` holds 1/2 where there is none, so that arithmetic stays finite.
    `limits_latency`: there is a latency limit; `latency_limit` in ms, infinite where there is none.
    `log_roll_back` = log(1/alpha), `log_certify` = log(1/beta). `log_break`: what a limit has to reach to
    count as broken; with two limits they share alpha.
    """

    rules: tuple[JudgeRules, ...]
    error_limit: Floats
    limited: Bools
    latency_limit: Floats
    limits_latency: Bools
    compares: Bools
    compares_latency: Bools
    compares_predictions: Bools
    has_stable: Bools
    margin: Floats
    margin_latency: Floats
    log_roll_back: Floats
    log_break: Floats
    log_certify: Floats
    warm_up_seconds: Floats

    def __len__(self) -> int:
        return len(self.error_limit)

    @classmethod
    def of(cls, rules: Sequence[JudgeRules]) -> RuleBatch:
        def floats(values: Sequence[float]) -> Floats:
            return np.array(values, dtype=np.float64)

        def flags(values: Sequence[bool]) -> Bools:
            return np.array(values, dtype=np.bool_)

        limited = flags([rule.error_rate_max is not None for rule in rules])
        slow_limits = floats([rule.latency_p95_max_ms or np.inf for rule in rules])
        roll_back = -np.log(floats([rule.alpha for rule in rules]))
        return cls(
            rules=tuple(rules),
            error_limit=floats([0.5 if r.error_rate_max is None else r.error_rate_max for r in rules]),
            limited=limited,
            latency_limit=slow_limits,
            limits_latency=np.isfinite(slow_limits),
            compares=flags([rule.compare_errors and rule.has_stable for rule in rules]),
            compares_latency=flags([rule.compare_latency and rule.has_stable for rule in rules]),
            compares_predictions=flags([rule.compare_predictions and rule.has_stable for rule in rules]),
            has_stable=flags([rule.has_stable for rule in rules]),
            margin=floats([rule.margin_errors for rule in rules]),
            margin_latency=floats([rule.margin_latency for rule in rules]),
            log_roll_back=roll_back,
            log_break=roll_back + np.log(np.where(limited & np.isfinite(slow_limits), 2.0, 1.0)),
            log_certify=-np.log(floats([rule.beta for rule in rules])),
            warm_up_seconds=floats([rule.warm_up_seconds for rule in rules]),
        )
