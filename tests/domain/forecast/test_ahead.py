"""The forecast of a release that runs, from the evidence it has."""

import numpy as np
import pytest

from releases.domain.forecast import (
    ForecastKind,
    Traffic,
    course_ahead,
    forecast_ahead,
    paths_ahead,
    traffic_now,
)
from releases.domain.judge import (
    Increments,
    JudgeRules,
    Sample,
    SampleBatch,
    fold,
    initial_state,
    weigh,
)
from releases.domain.plan import RolloutPlan, Rules
from tests.domain.judge.streams import batch, judged

PLAN = RolloutPlan()
QUIET = batch((45, 0), (5, 0))


def course(*, seconds: float = 20, **more):
    return course_ahead(PLAN, 1, hold_left=300 - seconds, total=seconds, warm_up_left=0, **more)


def after(samples):
    return judged(samples)[1][0]


def test_traffic_is_that_of_both_arms():
    traffic = traffic_now(after([batch((45, 1), (5, 0))] * 40), course())
    assert traffic is not None
    assert traffic.requests_per_second == pytest.approx(50)
    assert traffic.error_rate == pytest.approx(1 / 45)


def test_mirrored_traffic_is_not_counted_twice():
    plan = RolloutPlan(shadow_seconds=100)
    ahead = course_ahead(plan, 1, hold_left=80, total=20, warm_up_left=0)
    traffic = traffic_now(after([batch((50, 0), (50, 0))] * 20), ahead)
    assert traffic is not None
    assert traffic.requests_per_second == pytest.approx(50)


def test_latency_limit_is_forecast_once_latencies_are_known():
    plan = RolloutPlan(rules=Rules(latency_p95_max_ms=200))
    bounds = (100.0, 200.0, 500.0)
    sample = Sample(
        1.0,
        Increments(1.0, 45, 0, (40, 4, 1, 0), bounds),
        Increments(1.0, 5, 0, (5, 0, 0, 0), bounds),
    )
    rules = JudgeRules(latency_p95_max_ms=200)
    known = judged([SampleBatch.of([sample])] * 20, rules)[1][0]
    said = [
        forecast_ahead(plan, state, course(), Traffic(50, 0.0)).sentence
        for state in (known, after([QUIET] * 20))
    ]
    assert ["p95 below 200 ms" in sentence for sentence in said] == [True, False]


def test_traffic_before_the_first_sample_is_not_known():
    assert traffic_now(initial_state(1)[0], course()) is None


def test_forecast_of_a_running_release_comes_true():
    table, state = judged([QUIET] * 40)
    got = forecast_ahead(PLAN, state[0], course(seconds=40), Traffic(50, 0.0))
    assert got.kind is ForecastKind.CERTIFIES
    assert got.certificate is not None
    needed = 0
    while weigh(table, state).certificate[0] < np.log(20):
        state, needed = fold(table, state, QUIET), needed + 1
    assert got.certificate.median == pytest.approx(needed, rel=0.15)
    assert "certain below 1 % errors in about" in got.sentence


def test_more_evidence_needs_less_time_and_spreads_less():
    early = forecast_ahead(PLAN, after([QUIET] * 5), course(seconds=5), Traffic(50, 0.0)).certificate
    late = forecast_ahead(PLAN, after([QUIET] * 40), course(seconds=40), Traffic(50, 0.0)).certificate
    assert late.median < early.median
    assert late.high - late.low < early.high - early.low


def test_forecast_of_a_failing_candidate_says_that_it_cannot_become_certain():
    state = after([batch((45, 0), (5, 0)), batch((45, 1), (5, 1))] * 20)
    got = forecast_ahead(PLAN, state, course(seconds=40), Traffic(50, 0.01))
    assert (got.kind, got.decidable) == (ForecastKind.HOPELESS, False)
    assert "with the errors so far it cannot become certain" in got.sentence


def test_forecast_of_a_release_whose_traffic_has_gone_says_so():
    got = forecast_ahead(PLAN, after([QUIET] * 5), course(), Traffic(0, 0.0))
    assert got.kind is ForecastKind.NO_TRAFFIC


def test_paths_begin_at_the_evidence_and_end_at_the_certificate():
    table, state = judged([QUIET] * 20)
    ahead = paths_ahead(PLAN, state[0], course(), 50, until=3600)
    now = float(np.exp(weigh(table, state).certificate[0]))
    assert (ahead.low[0], ahead.median[0], ahead.high[0]) == pytest.approx((now, now, now))
    assert (ahead.low <= ahead.median).all()
    assert (ahead.median <= ahead.high).all()
    assert ahead.median[-1] == pytest.approx(20, rel=0.15)
    assert (np.diff(ahead.at) > 0).all()


def test_paths_are_drawn_no_further_than_asked():
    state = after([QUIET] * 20)
    assert paths_ahead(PLAN, state, course(), 50, until=12.5).at[-1] == 12.5


def test_regression_from_now_on_is_seen_sooner_when_something_is_suspected():
    rules = JudgeRules()
    calm = after([batch((450, 1), (50, 0))] * 20)
    uneasy = judged([batch((450, 1), (50, 0))] * 18 + [batch((450, 1), (50, 2))] * 2, rules)[1][0]
    seen = [
        forecast_ahead(PLAN, state, course(), Traffic(50, 0.002)).regressions[0].seconds
        for state in (calm, uneasy)
    ]
    assert seen[1] < seen[0]
