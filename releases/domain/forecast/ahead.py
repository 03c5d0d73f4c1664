"""The forecast of a release that runs: paths from the evidence it has now, along what is left of its plan.

How often the candidate fails is not known but drawn for each path from what has been counted, so that
the spread is wide while little is known. Reads the judge's state by the names of its slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from releases.domain.forecast import words
from releases.domain.forecast.answer import (
    DECIDABLE_SHARE,
    Forecast,
    ForecastKind,
    Regression,
    Spread,
    Traffic,
)
from releases.domain.forecast.before import expected_seconds, regression_rates
from releases.domain.forecast.certificate import PATHS, SEED, Limit, log_evidence, requests_needed
from releases.domain.forecast.course import Course, Floats
from releases.domain.forecast.harm import seconds_until_seen
from releases.domain.judge import state as slots
from releases.domain.judge.explanation import sentence
from releases.domain.judge.latency import SLOW_SHARE
from releases.domain.judge.scatter import dispersion
from releases.domain.plan import RolloutPlan

PRIOR_REQUESTS = 50.0
"""Until the candidate has answered some, it is believed to fail like stable: worth so many requests."""
POINTS = 48
HARM_PATHS = 30


@dataclass(frozen=True, slots=True)
class PathsAhead:
    """Quantiles (10, 50, 90 %) of the certificate's evidence at times from now, (POINTS,) each, until the
    middle path is certain; and when paths are certain, (PATHS,) seconds from now, infinite where never."""

    at: Floats
    low: Floats
    median: Floats
    high: Floats
    certain: Floats


def traffic_now(state: Floats, course: Course) -> Traffic | None:
    """The recent traffic of both arms together, (STATE_SIZE,) state; None before anything was sampled."""
    seconds = state[slots.RECENT_SECONDS]
    if seconds <= 0:
        return None
    now = course.stretches[0]
    requests = state[slots.RECENT_STABLE] + state[slots.RECENT_CANDIDATE]
    answered, failed = state[slots.STABLE_REQUESTS], state[slots.STABLE_ERRORS]
    rate = failed / answered if answered else 0.0
    return Traffic(float(requests / seconds / (now.candidate + now.stable)), float(rate))


def paths_ahead(
    plan: RolloutPlan, state: Floats, course: Course, requests_per_second: float, until: float
) -> PathsAhead:
    """Where the certificate's evidence goes; `until` seconds from now is the end of what is drawn."""
    bar = -math.log(plan.beta)
    limits = _limits(plan, state)
    needed = requests_needed(limits, bar) if limits else np.zeros(PATHS)
    certain = course.time_of(needed / requests_per_second)
    middle = float(np.quantile(certain, 0.5, method="higher"))
    at = np.linspace(0.0, min(until, middle), POINTS)
    reach = np.broadcast_to(requests_per_second * course.judged(at), (PATHS, POINTS))
    random = np.random.default_rng(SEED)
    logs = np.full((PATHS, POINTS), np.inf if limits else 0.0)
    for limit in limits:
        logs = np.minimum(logs, log_evidence(limit, reach, random))
    # A path that has come to the bar stays there: it is certified.
    logs = np.where(np.logical_or.accumulate(logs >= bar, axis=1), bar, logs)
    low, median, high = np.exp(np.minimum(np.quantile(logs, [0.1, 0.5, 0.9], axis=0), 700.0))
    return PathsAhead(at, low, median, high, certain)


def forecast_ahead(
    plan: RolloutPlan, state: Floats, course: Course, traffic: Traffic, certain: Floats | None = None
) -> Forecast:
    """The same answer as before a release, for one that runs; times are from now. `certain`: of
    `paths_ahead`, where that is known already."""
    rps = traffic.requests_per_second
    if rps <= 0:
        return Forecast(ForecastKind.NO_TRAFFIC, False, words.NO_TRAFFIC, course.window, traffic)
    if certain is None:
        certain = paths_ahead(plan, state, course, rps, course.window).certain
    spread = Spread.of(certain)
    share = round(float((certain <= course.window).mean()), 3)
    kind = _kind(plan, spread, share)
    decidable = kind in (ForecastKind.CERTIFIES, ForecastKind.HOLDS_ONLY)
    rates = regression_rates(plan.rules.error_rate_max, traffic.error_rate)
    found = seconds_until_seen(plan, course, rps, traffic.error_rate, rates, start=state, paths=HARM_PATHS)
    regressions = tuple(Regression(rate, at) for rate, at in zip(rates, found, strict=True))
    slow = _is_latency_known(plan, state)
    limited = slow or plan.rules.error_rate_max is not None
    return Forecast(
        kind=kind,
        decidable=decidable,
        sentence=sentence(_says(plan, course, rps, kind, spread, slow), words.from_now(regressions)),
        window_seconds=course.window,
        traffic=traffic,
        certificate=spread if limited else None,
        certified_share=share if limited else None,
        expected_seconds=expected_seconds(plan, course, spread.median) if decidable else None,
        regressions=regressions,
    )


def _limits(plan: RolloutPlan, state: Floats) -> list[Limit]:
    limits = []
    if plan.rules.error_rate_max is not None:
        counts = (
            slots.STABLE_REQUESTS,
            slots.STABLE_ERRORS,
            slots.CANDIDATE_REQUESTS,
            slots.CANDIDATE_ERRORS,
        )
        rates = _rates(*(float(state[slot]) for slot in counts))
        limits.append(
            Limit(
                plan.rules.error_rate_max, rates, state[slots.CERTIFICATE], _phi(state, slots.SCATTER_ERRORS)
            )
        )
    if _is_latency_known(plan, state):
        slow = (slots.STABLE_TIMED, slots.STABLE_SLOW, slots.CANDIDATE_TIMED, slots.CANDIDATE_SLOW)
        rates = _rates(*(float(state[slot]) for slot in slow))
        limits.append(
            Limit(SLOW_SHARE, rates, state[slots.SLOW_CERTIFICATE], _phi(state, slots.SCATTER_LATENCY))
        )
    return limits


def _phi(state: Floats, part: slice) -> float:
    return float(dispersion(state[None], part)[0])


def _is_latency_known(plan: RolloutPlan, state: Floats) -> bool:
    """A limit beyond the largest bound of the histograms cannot be measured."""
    slowest = plan.rules.latency_p95_max_ms
    return slowest is not None and bool(state[slots.TOP_BOUND] >= slowest)


def _rates(stable: float, stable_bad: float, candidate: float, candidate_bad: float) -> Floats:
    """The candidate's share of bad answers, drawn for each path from what was counted."""
    like_stable = stable_bad / stable if stable else 0.0
    bad = candidate_bad + max(PRIOR_REQUESTS * like_stable, 0.05)
    good = candidate - candidate_bad + PRIOR_REQUESTS * (1 - like_stable) + 0.05
    return np.random.default_rng(SEED).beta(bad, good, PATHS)


def _kind(plan: RolloutPlan, spread: Spread, share: float) -> ForecastKind:
    if plan.promotion != "certified":
        return ForecastKind.HOLDS_ONLY
    if share >= DECIDABLE_SHARE:
        return ForecastKind.CERTIFIES
    return ForecastKind.HOPELESS if spread.median is None else ForecastKind.TOO_LITTLE_TRAFFIC


def _says(
    plan: RolloutPlan, course: Course, rps: float, kind: ForecastKind, spread: Spread, slow: bool
) -> str:
    aim = words.goal(plan, slow=slow)
    if kind is ForecastKind.HOLDS_ONLY:
        return words.holds_left(course.holds)
    if kind is ForecastKind.HOPELESS or spread.median is None:
        return f"with the errors so far it cannot become certain {aim}"
    if spread.median == 0:
        return f"certain {aim}"
    where = course.split_at(spread.median).name
    return f"at {words.rate(rps)} {words.certain_in(spread, where, aim, course.window)}"
