"""The forecast of a plan before it starts, by paths through the judge's own arithmetic.

The candidate is taken to be as good as stable; regressions are those of a few error rates. Pure: the
seed is fixed, so the same question has the same answer, and answers are kept.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from releases.domain.forecast import words
from releases.domain.forecast.answer import (
    DECIDABLE_SHARE,
    Forecast,
    ForecastKind,
    Proposal,
    Regression,
    Spread,
    Traffic,
)
from releases.domain.forecast.certificate import Limit, requests_expected, requests_needed
from releases.domain.forecast.course import Course, Floats, course_of
from releases.domain.forecast.harm import seconds_until_seen
from releases.domain.forecast.proposals import propose
from releases.domain.judge.explanation import sentence
from releases.domain.judge.latency import SLOW_SHARE
from releases.domain.plan import RolloutPlan


def forecast(plan: RolloutPlan, traffic: Traffic | None, *, has_stable: bool) -> Forecast:
    """How long a plan will take with this traffic, and what it would see; None: traffic is not known."""
    return _forecast(plan, traffic and traffic.rounded(), has_stable)


@lru_cache(maxsize=512)
def _forecast(plan: RolloutPlan, traffic: Traffic | None, has_stable: bool) -> Forecast:
    if not has_stable or not plan.stages:
        text = words.NO_STEPS if has_stable else words.NO_STABLE
        return Forecast(ForecastKind.NO_CANARY, True, text, 0.0, traffic, expected_seconds=0.0)
    course = course_of(plan)
    if traffic is None:
        return Forecast(ForecastKind.UNKNOWN, None, words.UNKNOWN, course.window)
    if traffic.requests_per_second <= 0:
        return Forecast(ForecastKind.NO_TRAFFIC, False, words.NO_TRAFFIC, course.window, traffic)
    return _of_canary(plan, course, traffic)


def _of_canary(plan: RolloutPlan, course: Course, traffic: Traffic) -> Forecast:
    log_certify = -math.log(plan.beta)
    limits = limits_of(plan, traffic)
    needed = requests_needed(limits, log_certify) if limits else np.zeros(1)
    times = course.time_of(needed / traffic.requests_per_second)
    share = round(float((times <= course.window).mean()), 3)
    never = [limit for limit in limits if math.isinf(requests_expected(limit, log_certify))]
    kind = _kind(plan, share, bool(never))
    decidable = kind in (ForecastKind.CERTIFIES, ForecastKind.HOLDS_ONLY)
    spread = Spread.of(times)
    expected = expected_seconds(plan, course, spread.median) if decidable else None
    regressions = _regressions(plan, course, traffic)
    proposals: tuple[Proposal, ...] = ()
    if kind is ForecastKind.HOPELESS:
        by_errors = plan.rules.error_rate_max is not None and never[0] is limits[0]
        parts = [words.hopeless(plan, traffic, by_errors=by_errors), words.seen(regressions)]
    else:
        said = _says(plan, course, traffic, kind, spread, expected)
        parts = [f"at {words.rate(traffic.requests_per_second)} {said}", words.seen(regressions)]
    if kind is ForecastKind.TOO_LITTLE_TRAFFIC:
        proposals = propose(plan, traffic.requests_per_second, needed)
        parts.append("" if proposals else words.needs_traffic(_enough(course, needed)))
    if _slow_is_unknown(plan, traffic):
        parts.append(words.slow_unknown(plan))
    return Forecast(
        kind=kind,
        decidable=decidable,
        sentence=sentence(*parts),
        window_seconds=course.window,
        traffic=traffic,
        certificate=spread if limits else None,
        certified_share=share if limits else None,
        expected_seconds=expected,
        regressions=regressions,
        proposals=proposals,
    )


def _regressions(plan: RolloutPlan, course: Course, traffic: Traffic) -> tuple[Regression, ...]:
    rates = regression_rates(plan.rules.error_rate_max, traffic.error_rate)
    found = seconds_until_seen(plan, course, traffic.requests_per_second, traffic.error_rate, rates)
    return tuple(Regression(rate, at) for rate, at in zip(rates, found, strict=True))


def _enough(course: Course, needed: Floats) -> float:
    """Requests a second with which the plan could be decided as it is."""
    middle = float(np.quantile(needed, DECIDABLE_SHARE, method="higher"))
    return middle / float(course.judged(np.array(course.window)))


def limits_of(plan: RolloutPlan, traffic: Traffic) -> list[Limit]:
    """What has to be certified, as far as stable's own share is known: the error limit first."""
    limits = []
    if plan.rules.error_rate_max is not None:
        limits.append(Limit(plan.rules.error_rate_max, traffic.error_rate))
    if plan.rules.latency_p95_max_ms is not None and traffic.slow_share is not None:
        limits.append(Limit(SLOW_SHARE, traffic.slow_share))
    return limits


def regression_rates(limit: float | None, error_rate: float) -> tuple[float, ...]:
    """Twice and five times what is tolerated, and half of all requests; without those that make no sense."""
    tolerated = max(limit or 0.01, error_rate)
    rates = {float(f"{factor * tolerated:.2g}") for factor in (2, 5)} | {0.5}
    return tuple(sorted(rate for rate in rates if 1.5 * tolerated <= rate < 1)) or ((1 + tolerated) / 2,)


def _kind(plan: RolloutPlan, share: float, hopeless: bool) -> ForecastKind:
    if plan.promotion != "certified":
        return ForecastKind.HOLDS_ONLY
    if share >= DECIDABLE_SHARE:
        return ForecastKind.CERTIFIES
    return ForecastKind.HOPELESS if hopeless else ForecastKind.TOO_LITTLE_TRAFFIC


def expected_seconds(plan: RolloutPlan, course: Course, proof: float | None) -> float:
    """Until the last stage is left, in the middle. Early promotion ends a hold when the proof is there."""
    if plan.promotion == "certified" and proof is not None:
        return proof if plan.early_promotion else max(proof, course.holds)
    return min(proof or course.holds, course.holds) if plan.early_promotion else course.holds


def _says(
    plan: RolloutPlan,
    course: Course,
    traffic: Traffic,
    kind: ForecastKind,
    spread: Spread,
    expected: float | None,
) -> str:
    if kind is ForecastKind.HOLDS_ONLY:
        return words.holds_only(expected or 0.0)
    proof = spread.median if spread.median is not None else course.window
    where = course.split_at(proof).name
    condition = words.as_rarely(traffic.error_rate)
    aim = words.goal(plan, slow=traffic.slow_share is not None)
    if kind is ForecastKind.CERTIFIES:
        return words.certifies(expected or proof, proof, where, aim, condition)
    return words.too_late(course.window, proof, where, aim, condition)


def _slow_is_unknown(plan: RolloutPlan, traffic: Traffic) -> bool:
    certifies = plan.promotion == "certified" and plan.rules.latency_p95_max_ms is not None
    return certifies and traffic.slow_share is None
