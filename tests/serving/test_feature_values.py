"""What becomes of features that are missing, stale or out of reach."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.feature_values import OUTCOMES, FeaturesFailed, Values, check, filled, worst

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("value", "age", "time_to_live", "outcome"),
    [
        (1, timedelta(0), DAY, "found"),
        (1, DAY, DAY, "found"),
        (1, DAY + timedelta(microseconds=1), DAY, "stale"),
        (1, timedelta(days=4000), None, "found"),
        (0, timedelta(0), DAY, "found"),
        (1, -DAY, DAY, "found"),
        (None, timedelta(0), DAY, "missing"),
        (None, 2 * DAY, DAY, "missing"),
        (None, None, DAY, "missing"),
        (1, None, DAY, "missing"),
    ],
)
def test_value_is_found_while_its_view_lets_it_live(
    value: Any, age: timedelta | None, time_to_live: timedelta | None, outcome: str
) -> None:
    time = None if age is None else NOW - age
    assert Values([value], [time], time_to_live).outcomes(NOW) == [outcome]


outcomes = st.sampled_from(OUTCOMES)
policies = st.fixed_dictionaries(
    {name: st.sampled_from(["error", "default", "null"]) for name in OUTCOMES[1:]}
)


@given(st.lists(outcomes, min_size=1), policies)
def test_only_found_values_reach_the_model(found: list[str], policy: dict[str, str]) -> None:
    result = filled(range(len(found)), found, policy, "default")
    for place, (value, outcome) in enumerate(zip(result, found, strict=True)):
        assert value == (place if outcome == "found" else "default" if policy[outcome] == "default" else None)


@given(st.lists(st.tuples(outcomes, outcomes), min_size=1), policies)
def test_check_fails_exactly_when_a_policy_says_so(
    pairs: list[tuple[str, str]], policy: dict[str, str]
) -> None:
    columns = {"age": [one for one, _ in pairs], "spend": [two for _, two in pairs]}
    fails = any(outcome != "found" and policy[outcome] == "error" for pair in pairs for outcome in pair)
    try:
        check("user_id", range(len(pairs)), columns, policy)
    except FeaturesFailed:
        assert fails
    else:
        assert not fails


def test_failure_names_features_entities_and_policy() -> None:
    policy = dict.fromkeys(OUTCOMES[1:], "error")
    columns = {"age": ["found", "missing"], "spend": ["found", "missing"]}
    words = "age, spend are missing for user_id 999, and the policy on_missing is error"
    with pytest.raises(FeaturesFailed, match=f"^{words}$"):
        check("user_id", [1, 999], columns, policy)
    with pytest.raises(FeaturesFailed, match="age is stale for user_id 0, 1, 2 and 7 more"):
        check("user_id", range(10), {"age": ["stale"] * 10}, policy)
    with pytest.raises(FeaturesFailed, match="does not answer, and the policy on_unreachable is error"):
        check("user_id", [1], {"age": ["unreachable"]}, policy)


def test_entity_counts_as_the_worst_of_its_features() -> None:
    assert worst([["found", "stale", "missing"], ["found", "found", "stale"]]) == ["found", "stale", "stale"]
