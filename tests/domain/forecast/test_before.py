"""The forecast of a plan before it starts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releases.domain.forecast import Forecast, ForecastKind, Traffic, forecast
from releases.domain.forecast.before import regression_rates
from releases.domain.judge.explanation import duration
from releases.domain.plan import RolloutPlan, Rules, Step
from tests.domain.judge.streams import simulate

PLAN = RolloutPlan()


def of(requests_per_second: float, error_rate: float = 0.002, plan: RolloutPlan = PLAN, **more) -> Forecast:
    return forecast(plan, Traffic(requests_per_second, error_rate, **more), has_stable=True)


def median(of: Forecast) -> float:
    assert of.certificate is not None
    assert of.certificate.median is not None
    return of.certificate.median


def test_forecast_of_enough_traffic_says_how_long_and_what_would_be_seen():
    got = of(50)
    assert (got.kind, got.decidable, got.proposals) == (ForecastKind.CERTIFIES, True, ())
    assert got.expected_seconds == 300
    seen = got.regressions[0].seconds
    assert seen is not None
    assert 30 < seen < 120
    assert got.sentence == (
        "at 50 requests/s this needs about 5 min: certain below 1 % errors after about 3 min at 10 % "
        "if the candidate fails as rarely as stable (0.2 %), and the holds last longer; "
        f"a candidate with 2 % errors would be seen after about {duration(seen)}"
    )


def test_forecast_meets_what_full_simulations_at_one_second_find():
    """Certificate and detection, against the judge's own streams with a sample each second."""
    got = of(50, 0.001)
    certain = simulate(
        seconds=300,
        releases=150,
        stable=0.001,
        candidate=0.001,
        look="certified",
    )
    assert median(got) == pytest.approx(float(np.median(certain)), rel=0.1)
    for regression in got.regressions[1:]:
        seen = simulate(seconds=120, releases=150, stable=0.001, candidate=regression.error_rate)
        assert regression.seconds == pytest.approx(float(np.median(seen)), rel=0.25, abs=1.0)


@settings(max_examples=25)
@given(
    traffic=st.floats(0.05, 500),
    factor=st.floats(1.2, 20),
    error_rate=st.sampled_from([0.0, 0.001, 0.004]),
    weights=st.sampled_from([(10,), (5, 20), (1, 5, 25)]),
)
def test_forecast_with_more_traffic_never_takes_longer(traffic, factor, error_rate, weights):
    plan = RolloutPlan(steps=tuple(Step(weight, 60) for weight in weights))
    few, many = of(traffic, error_rate, plan), of(traffic * factor, error_rate, plan)
    assert median(many) <= median(few)
    assert many.decidable or not few.decidable
    for slow, fast in zip(few.regressions, many.regressions, strict=True):
        if slow.seconds is not None:
            assert fast.seconds is not None
            assert fast.seconds <= 1.3 * slow.seconds + 2


@pytest.mark.parametrize(
    ("traffic", "plan"),
    [
        (0.5, PLAN),
        (0.05, PLAN),
        (0.2, RolloutPlan(steps=(Step(1, 300), Step(5, 300), Step(20, 300)))),
        (0.5, RolloutPlan(steps=(Step(5, 60),), shadow_seconds=120)),
        (2.0, RolloutPlan(rules=Rules(warm_up_seconds=600), max_canary_seconds=900)),
    ],
)
def test_proposals_are_decidable_when_forecast_again(traffic, plan):
    got = of(traffic, plan=plan)
    assert (got.kind, got.decidable) == (ForecastKind.TOO_LITTLE_TRAFFIC, False)
    assert got.expected_seconds is None
    assert "cannot be decided in the plan's" in got.sentence
    assert {proposal.change for proposal in got.proposals} >= {"max_canary_seconds"}
    for proposal in got.proposals:
        again = of(traffic, plan=proposal.plan)
        assert again.decidable
        assert again.certified_share is not None
        assert again.certified_share >= 0.9


def test_proposed_weight_is_the_smallest_that_is_certain_nine_times_of_ten():
    weight = next(proposal for proposal in of(0.5).proposals if proposal.change == "weight")
    assert weight.plan == replace(PLAN, steps=(Step(weight.value, 300),))
    lighter = of(0.5, plan=replace(PLAN, steps=(Step(weight.value - 1, 300),)))
    assert lighter.certified_share is not None
    assert lighter.certified_share <= 0.9


def test_forecast_says_which_traffic_it_would_take_when_nothing_else_helps():
    got = of(0.0005)
    assert got.proposals == ()
    assert "no weight and no hold helps below " in got.sentence


def test_forecast_of_a_stable_near_the_limit_says_that_no_traffic_helps():
    got = of(50, 0.009)
    assert (got.kind, got.decidable, got.proposals) == (ForecastKind.HOPELESS, False, ())
    assert got.sentence.startswith(
        "stable itself fails 0.9 %, the limit is 1 %: no amount of traffic certifies"
    )


def test_forecast_without_traffic_and_with_unknown_traffic_are_different_answers():
    none, unknown = of(0), forecast(PLAN, None, has_stable=True)
    assert (none.kind, none.decidable) == (ForecastKind.NO_TRAFFIC, False)
    assert (unknown.kind, unknown.decidable) == (ForecastKind.UNKNOWN, None)
    assert "no request reaches the endpoint" in none.sentence
    assert "not known" in unknown.sentence


def test_forecast_of_a_plan_that_asks_for_no_certificate_is_its_holds():
    got = of(0.5, plan=replace(PLAN, promotion="no_harm"))
    assert (got.kind, got.decidable, got.expected_seconds) == (ForecastKind.HOLDS_ONLY, True, 300)
    assert "asks for no certificate" in got.sentence


@pytest.mark.parametrize(
    ("plan", "has_stable", "said"),
    [(replace(PLAN, steps=()), True, "no steps"), (PLAN, False, "no stable version yet")],
)
def test_forecast_without_a_canary_has_nothing_to_wait_for(plan, has_stable, said):
    got = forecast(plan, Traffic(50, 0.002), has_stable=has_stable)
    assert (got.kind, got.decidable, got.expected_seconds) == (ForecastKind.NO_CANARY, True, 0)
    assert said in got.sentence


def test_early_promotion_ends_with_the_certificate():
    got = of(50, plan=replace(PLAN, early_promotion=True))
    assert got.expected_seconds == median(got)


def test_latency_limit_is_forecast_like_the_error_limit_when_latencies_are_known():
    plan = replace(PLAN, rules=Rules(latency_p95_max_ms=200))
    assert "no latencies are known" in of(50, plan=plan).sentence
    assert median(of(50, plan=plan, slow_share=0.03)) >= median(of(50))
    assert "p95 below 200 ms" in of(50, plan=plan, slow_share=0.01).sentence
    near = of(50, plan=plan, slow_share=0.048)
    assert near.kind is ForecastKind.HOPELESS
    assert near.sentence.startswith("stable itself answers 4.8 % slower than 200 ms, the limit leaves 5 %")


@pytest.mark.parametrize(
    ("limit", "error_rate", "rates"),
    [
        (0.01, 0.002, (0.02, 0.05, 0.5)),
        (0.05, 0.002, (0.1, 0.25, 0.5)),
        (None, 0.0, (0.02, 0.05, 0.5)),
        (0.01, 0.2, (0.4, 0.5)),
        (0.01, 0.8, (0.9,)),
    ],
)
def test_regressions_make_sense_beside_limit_and_stable(limit, error_rate, rates):
    assert regression_rates(limit, error_rate) == pytest.approx(rates)


def test_forecast_is_the_same_for_traffic_that_differs_in_the_third_digit():
    assert of(50.1, 0.00201) is of(50.2, 0.00199)


def test_forecast_as_json_has_whole_seconds_and_plans_that_are_valid():
    shown = of(0.5).to_json()
    assert (shown["kind"], shown["decidable"]) == ("too_little_traffic", False)
    assert shown["certificate_seconds"]["median"] == int(shown["certificate_seconds"]["median"])
    for proposal in shown["proposals"]:
        assert RolloutPlan.from_json(proposal["plan"]).to_json() == proposal["plan"]
