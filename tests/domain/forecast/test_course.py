"""Which share of the requests the candidate gets when, and when it has got so many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.forecast.course import course_ahead, course_of
from releases.domain.plan import RolloutPlan, Rules, Step

LADDER = RolloutPlan(steps=(Step(10, 100), Step(50, 100)), shadow_seconds=20, max_canary_seconds=1000)


def test_course_follows_the_steps_and_stays_at_the_last_one():
    course = course_of(LADDER)
    at = np.array([0.0, 20.0, 120.0, 220.0, 1000.0])
    assert course.judged(at) == pytest.approx([0, 20, 30, 80, 470])
    assert [course.split_at(t).name for t in (0, 20, 500)] == ["while mirrored", "at 10 %", "at 50 %"]
    assert (course.holds, course.window) == (220, 1000)


def test_course_of_a_plan_without_certificate_ends_with_its_holds():
    assert course_of(RolloutPlan(promotion="no_harm")).window == 300


@given(
    warm_up=st.integers(0, 400),
    given=st.floats(0.001, 1e5),
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True).map(sorted),
    hold=st.integers(0, 300),
)
def test_time_of_is_the_inverse_of_judged(warm_up, given, weights, hold):
    steps = tuple(Step(weight, hold) for weight in weights)
    course = course_of(RolloutPlan(steps=steps, rules=Rules(warm_up_seconds=warm_up)))
    at = course.time_of(np.array([given]))
    assert at[0] > warm_up
    assert course.judged(at)[0] == pytest.approx(given)


def test_warm_up_is_given_and_not_judged():
    course = course_of(RolloutPlan(rules=Rules(warm_up_seconds=60)))
    assert course.judged(np.array([60.0, 70.0])) == pytest.approx([0, 1])
    candidate, stable = course.given(np.array([60.0, 70.0]))
    assert candidate == pytest.approx([6, 7])
    assert stable == pytest.approx([54, 63])


def test_course_ahead_holds_what_is_left():
    course = course_ahead(LADDER, 2, hold_left=40, total=80, warm_up_left=0)
    assert course.judged(np.array([40.0, 140.0])) == pytest.approx([4, 54])
    assert (course.holds, course.window) == (140, 920)


def test_course_ahead_of_a_paused_release_stays_at_its_split():
    course = course_ahead(LADDER, 2, hold_left=40, total=80, warm_up_left=0, stands=True)
    assert course.judged(np.array([400.0])) == pytest.approx([40])
