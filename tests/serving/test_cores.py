"""What a core answers when its members answer, fail, or answer nonsense."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client import REGISTRY

from serving.composition import Core, Member, Rules, Shape
from serving.cores import Ensemble, Predictor, Router, Single, choose, core_of
from serving.errors import MemberFailed, RequestRefused

FRAME = pd.DataFrame({"a": [1.0, 2.0]})
RULES = Rules({"premium": "best", "standard": "balanced"}, "fast", 100, "best", "batch")


class Answering:
    """A member that answers what it was made with, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Meeting:
    """A member that answers only while all others are being asked as well."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        self.barrier.wait(20)
        return [1.0] * len(frame)


def failures(member: str) -> float:
    return REGISTRY.get_sample_value("model_member_failures_total", {"member": member}) or 0.0


def ensemble(
    members: Mapping[str, Any],
    combine: str = "mean",
    weights: Mapping[str, float] | None = None,
    at_least: int | None = None,
    shape: Shape | None = None,
) -> Ensemble:
    """An ensemble of members that answer these values."""
    pinned = tuple(Member(name, name, "1.0.0", 1, "", (weights or {}).get(name)) for name in members)
    core = Core("ensemble", pinned, combine, at_least, shape or Shape())
    asked = [each if hasattr(each, "predict") else Answering(each) for each in members.values()]
    return Ensemble(core, asked, workers=len(asked))


def test_ensemble_answers_the_weighted_mean() -> None:
    mean = ensemble({"a": [1.0, 2.0], "b": np.float32([3.0, 6.0])}, weights={"a": 0.25, "b": 0.75})
    assert mean.predict(FRAME, {}).tolist() == [2.5, 5.0]


def test_ensemble_answers_the_weighted_vote() -> None:
    vote = ensemble(
        {"a": ["x", "y"], "b": ["y", "x"], "c": ["y", "y"]}, "vote", {"a": 0.6, "b": 0.3, "c": 0.1}
    )
    assert vote.predict(FRAME, {}).tolist() == ["x", "y"]


def test_ensemble_of_tables_answers_a_table_in_the_order_of_the_first() -> None:
    first = pd.DataFrame({"no": [0.2, 0.4], "yes": [0.8, 0.6]}, index=[7, 9])
    second = pd.DataFrame({"yes": [0.6, 0.4], "no": [0.4, 0.6]})
    mean = ensemble({"a": first, "b": second}, "mean_of_probabilities", shape=Shape(columns=("no", "yes")))
    answer = mean.predict(FRAME, {})
    assert list(answer.columns) == ["no", "yes"]
    assert answer.to_numpy() == pytest.approx(np.array([[0.3, 0.7], [0.5, 0.5]]))


def test_ensemble_asks_its_members_at_the_same_time() -> None:
    barrier = threading.Barrier(3)
    together = ensemble({name: Meeting(barrier) for name in "abc"})
    assert together.predict(FRAME, {}).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (ZeroDivisionError("division by zero"), "member bad raised ZeroDivisionError: division by zero"),
        ([1.0, np.nan], "member bad answered nan in row 2"),
        ([1.0], "member bad answered 1 rows for 2"),
        ([[1.0, 2.0]] * 2, "member bad answered 2 values a row instead of one value a row"),
        (["x", "y"], "member bad answered <U1 values, of which there is no mean"),
    ],
)
def test_ensemble_with_the_policy_fail_names_the_member_that_failed(bad: Any, said: str) -> None:
    before = failures("bad")
    with pytest.raises(MemberFailed, match=f"^{said}$"):
        ensemble({"good": [1.0, 2.0], "bad": bad}).predict(FRAME, {})
    assert failures("bad") == before + 1


def test_ensemble_with_a_quorum_answers_with_the_weights_of_the_others_and_counts() -> None:
    before = failures("bad")
    mean = ensemble(
        {"bad": [np.nan, 1.0], "one": [1.0, 1.0], "two": [4.0, 4.0]},
        weights={"bad": 0.5, "one": 0.4, "two": 0.1},
        at_least=2,
    )
    assert mean.predict(FRAME, {}) == pytest.approx([1.6, 1.6])
    assert failures("bad") == before + 1


def test_ensemble_below_its_quorum_names_all_that_failed() -> None:
    broken = ensemble({"a": ValueError("x"), "b": [np.inf, 1], "c": [1.0, 1.0]}, at_least=2)
    said = r"member a raised ValueError: x; member b answered inf in row 1 \(1 of 3 members answered, 2 have"
    with pytest.raises(MemberFailed, match=said):
        broken.predict(FRAME, {})


def test_ensemble_whose_rest_has_no_weight_fails() -> None:
    rest = ensemble({"a": ValueError("x"), "b": [1.0, 1.0]}, weights={"a": 1.0, "b": 0.0}, at_least=1)
    with pytest.raises(MemberFailed, match="member a raised ValueError"):
        rest.predict(FRAME, {})


def test_ensemble_passes_on_what_is_the_callers_mistake_and_counts_nothing() -> None:
    before = failures("refusing")
    with pytest.raises(RequestRefused, match="no such bottle"):
        ensemble({"refusing": RequestRefused("no such bottle"), "b": [1.0, 1.0]}, at_least=1).predict(
            FRAME, {}
        )
    assert failures("refusing") == before


def test_ensemble_with_the_wrong_number_of_members_is_refused() -> None:
    core = Core("ensemble", (Member("a", "a", "1.0.0", 1, ""),), "mean", None, Shape())
    with pytest.raises(ValueError, match="2 members were loaded for 1 of the core"):
        Ensemble(core, [Answering([1.0])] * 2, workers=2)


@pytest.mark.parametrize(
    ("tier", "rows", "chosen"),
    [
        ("premium", 1000, "best"),
        ("standard", 1, "balanced"),
        ("basic", 1, "fast"),
        ("Premium", 1, "fast"),
        ("gold\n", 1, "fast"),
        (None, 99, "best"),
        (None, 100, "batch"),
        ("", 99, "best"),
        ("", 100, "batch"),
    ],
)
def test_choose_by_tier_else_by_rows(tier: str | None, rows: int, chosen: str) -> None:
    assert choose(RULES, tier, rows) == chosen


def test_router_asks_the_member_that_the_rules_name() -> None:
    members = {name: Answering([name]) for name in ("best", "balanced", "fast", "batch")}
    router = Router(RULES, members)
    assert router.predict(FRAME, {"customer_tier": "standard"}) == ["balanced"]
    assert router.predict(FRAME, {"customer_tier": None}) == ["best"]
    assert router.predict(FRAME, {}) == ["best"]
    assert router.predict(pd.concat([FRAME] * 50), {}) == ["batch"]


def test_router_names_the_member_that_failed_and_counts_it() -> None:
    before = failures("fast")
    members: dict[str, Predictor] = {name: Answering([0]) for name in ("best", "balanced", "batch")}
    router = Router(RULES, members | {"fast": Answering(KeyError("a"))})
    with pytest.raises(MemberFailed, match="member fast raised KeyError: 'a'"):
        router.predict(FRAME, {"customer_tier": "any"})
    assert failures("fast") == before + 1


def test_single_answers_as_its_member_in_double_precision() -> None:
    answer = Single("one", Answering(np.float32([0.5, 1.0]))).predict(FRAME, {})
    assert (answer.dtype, answer.tolist()) == (np.float64, [0.5, 1.0])


def test_core_of_an_unknown_kind_raises() -> None:
    with pytest.raises(ValueError, match="no core of the kind 'choir'"):
        core_of(Core("choir", ()), {})
