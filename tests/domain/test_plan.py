"""Rollout plans: valid from their construction on, read from any JSON, the same after a round trip."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.errors import Invalid
from releases.domain.plan import MAXIMUM_STEPS, RolloutPlan, Rules, Step, TrafficSplit
from tests.domain.strategies import plans

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = [
    *("steps", "rules", "deadlines", "alpha", "beta", "promotion", "weight", "hold_seconds", "approval"),
    *("shadow_seconds", "early_promotion", "on_inconclusive", "error_rate_max", "unknown", "colour"),
]
keys = st.sampled_from(KEYS)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)


def read(data: Any, defaults: RolloutPlan) -> RolloutPlan | Invalid:
    try:
        return RolloutPlan.from_json(data, defaults)
    except Invalid as refused:
        return refused


@given(plans())
def test_plan_written_and_read_is_the_same(plan: RolloutPlan) -> None:
    written = json.loads(json.dumps(plan.to_json()))
    again = RolloutPlan.from_json(written)
    assert again == plan
    assert again.digest == plan.digest


@given(json_values, plans())
def test_plan_from_any_json_is_valid_or_names_the_field(data: Any, defaults: RolloutPlan) -> None:
    plan = read(data, defaults)
    if isinstance(plan, Invalid):
        assert plan.code == "bad_plan"
        assert plan.fields
        assert all(path.startswith("plan") and messages for path, messages in plan.fields.items())
        return
    weights = [step.weight for step in plan.steps]
    assert weights == sorted(set(weights))
    assert all(1 <= weight <= 100 for weight in weights)
    assert RolloutPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@given(plans())
def test_plan_stages_are_the_shadow_and_the_steps_in_order(plan: RolloutPlan) -> None:
    shares = [stage.split.candidate for stage in plan.stages if not stage.split.shadow]
    assert shares == [step.weight for step in plan.steps]
    assert [stage.split.shadow for stage in plan.stages] == [True] * bool(plan.shadow_seconds) + [
        False
    ] * len(plan.steps)


def test_plan_of_nothing_is_the_default_10_percent_for_300_seconds() -> None:
    plan = RolloutPlan.from_json(None)
    assert plan.steps == (Step(10, 300),)
    assert plan.rules.error_rate_max == 0.01
    assert plan.describe() == "10 % for 300 s, then 100 %"


def test_plan_keeps_the_defaults_for_what_is_not_said() -> None:
    defaults = RolloutPlan(alpha=0.05, rules=Rules(error_rate_max=0.2, margin_errors=2.0))
    plan = RolloutPlan.from_json({"rules": {"error_rate_max": 0.1}}, defaults)
    assert (plan.alpha, plan.rules.error_rate_max, plan.rules.margin_errors) == (0.05, 0.1, 2.0)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"steps": [{"weight": 20}, {"weight": 10}]}, "plan.steps.1.weight"),
        ({"steps": [{"weight": 10}, {"weight": 10}]}, "plan.steps.1.weight"),
        ({"steps": [{"weight": 101}]}, "plan.steps.0.weight"),
        ({"steps": [{"weight": 0}]}, "plan.steps.0.weight"),
        ({"steps": [{"weight": 10.5}]}, "plan.steps.0.weight"),
        ({"steps": [{"weight": True}]}, "plan.steps.0.weight"),
        ({"steps": [{"hold_seconds": 5}]}, "plan.steps.0.weight"),
        ({"steps": [{"weight": 10, "hold_seconds": -1}]}, "plan.steps.0.hold_seconds"),
        ({"steps": [{"weight": 10, "approval": "yes"}]}, "plan.steps.0.approval"),
        ({"steps": [{"weight": 10, "colour": 1}]}, "plan.steps.0.colour"),
        ({"steps": [None]}, "plan.steps.0"),
        ({"steps": {}}, "plan.steps"),
        ({"steps": [{"weight": n + 1} for n in range(MAXIMUM_STEPS + 1)]}, "plan.steps"),
        ({"alpha": 0}, "plan.alpha"),
        ({"alpha": float("nan")}, "plan.alpha"),
        ({"alpha": 10**400}, "plan.alpha"),
        ({"rules": {"warm_up_seconds": -(10**400)}}, "plan.rules.warm_up_seconds"),
        ({"beta": 0.9}, "plan.beta"),
        ({"rules": {"error_rate_max": 2}}, "plan.rules.error_rate_max"),
        ({"rules": {"error_rate_max": None}}, "plan.promotion"),
        ({"rules": {"error_rate_max": None}, "steps": [], "shadow_seconds": 9}, "plan.promotion"),
        ({"rules": []}, "plan.rules"),
        ({"promotion": "maybe"}, "plan.promotion"),
        ({"on_inconclusive": "panic"}, "plan.on_inconclusive"),
        ({"deadlines": {"unknown": 0}}, "plan.deadlines.unknown"),
        ({"shadow_seconds": 10**9}, "plan.shadow_seconds"),
        ({"speed": "fast"}, "plan.speed"),
        ([], "plan"),
    ],
)
def test_plan_that_is_malformed_is_refused_naming_the_field(data: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        RolloutPlan.from_json(data)
    assert field in refused.value.fields
    assert refused.value.code == "bad_plan"


def test_plan_without_a_limit_may_go_without_a_certificate() -> None:
    data = {"rules": {"error_rate_max": None}, "promotion": "no_harm"}
    assert RolloutPlan.from_json(data).rules.error_rate_max is None


def test_plan_digest_changes_with_every_part() -> None:
    changes = [
        {},
        {"steps": []},
        {"steps": [{"weight": 10, "approval": True}]},
        {"rules": {"margin_errors": 2}},
        {"deadlines": {"unknown": 1}},
        {"early_promotion": True},
    ]
    assert len({RolloutPlan.from_json(change).digest for change in changes}) == len(changes)


@given(st.integers(-50, 150), st.booleans())
def test_split_is_refused_or_adds_up_to_100(candidate: int, shadow: bool) -> None:
    try:
        split = TrafficSplit(candidate, shadow)
    except Invalid:
        assert not 0 <= candidate <= 100 or (shadow and candidate)
        return
    assert split.stable + split.candidate == 100
    assert not (split.shadow and split.candidate)
