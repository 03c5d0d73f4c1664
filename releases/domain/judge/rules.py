"""What the judge is asked: the rules of one release, and those of many as arrays.

The plan is where they come from; this module must not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge.samples import Bools, Floats

ERRORS_VS_STABLE = "errors_vs_stable"
ERROR_RATE_MAX = "error_rate_max"


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """The rules of one release.

    `error_rate_max`: limit on the candidate's error rate, a share in (0, 1); None switches it off.
    `compare_errors`: compare with stable. `margin_errors`: the odds ratio that is still accepted.
    `alpha`: a healthy candidate is rolled back with at most this probability, ever.
    `beta`: a candidate that is at its limit or beyond is certified with at most this probability.
    `warm_up_seconds`: what happens so long after the first sample began is not judged.
    `has_stable`: False for a first release, and wherever stable gets no traffic by plan.
    """

    error_rate_max: float | None = 0.01
    compare_errors: bool = True
    margin_errors: float = 1.0
    alpha: float = 0.01
    beta: float = 0.05
    warm_up_seconds: float = 0.0
    has_stable: bool = True

    def __post_init__(self) -> None:
        if self.error_rate_max is not None and not 0 < self.error_rate_max < 1:
            raise ValueError("error_rate_max must lie between 0 and 1, both excluded")
        if not 1 <= self.margin_errors <= 1e6:
            raise ValueError("margin_errors must be at least 1 (and at most 1e6)")
        if not 1e-12 <= self.alpha < 1 or not 1e-12 <= self.beta < 1:
            raise ValueError("alpha and beta must lie between 0 and 1, both excluded")
        if not 0 <= self.warm_up_seconds <= 1e9:
            raise ValueError("warm_up_seconds must not be negative (nor above 1e9)")


@dataclass(frozen=True, slots=True)
class RuleBatch:
    """The rules of R releases; `rules` as they were given, the rest arrays of shape (R,).

    `compares`: the comparison with stable is on. `limited`: there is an error limit. `error_limit`
    holds 1/2 where there is none, so that arithmetic stays finite; `limited` masks it out.
    `log_roll_back` = log(1/alpha), `log_certify` = log(1/beta).
    """

    rules: tuple[JudgeRules, ...]
    error_limit: Floats
    limited: Bools
    compares: Bools
    has_stable: Bools
    margin: Floats
    log_roll_back: Floats
    log_certify: Floats
    warm_up_seconds: Floats

    def __len__(self) -> int:
        return len(self.error_limit)

    @classmethod
    def of(cls, rules: Sequence[JudgeRules]) -> RuleBatch:
        limits = [0.5 if rule.error_rate_max is None else rule.error_rate_max for rule in rules]
        return cls(
            rules=tuple(rules),
            error_limit=np.array(limits, dtype=np.float64),
            limited=np.array([rule.error_rate_max is not None for rule in rules], dtype=np.bool_),
            compares=np.array([r.compare_errors and r.has_stable for r in rules], dtype=np.bool_),
            has_stable=np.array([rule.has_stable for rule in rules], dtype=np.bool_),
            margin=np.array([rule.margin_errors for rule in rules], dtype=np.float64),
            log_roll_back=-np.log(np.array([rule.alpha for rule in rules], dtype=np.float64)),
            log_certify=-np.log(np.array([rule.beta for rule in rules], dtype=np.float64)),
            warm_up_seconds=np.array([r.warm_up_seconds for r in rules], dtype=np.float64),
        )
