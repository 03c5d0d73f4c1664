"""How answers become one: means and votes, and what is no answer at all."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serving import combining
from serving.combining import Unusable
from serving.composition import Shape

numbers = st.floats(-1e6, 1e6)
weights = st.lists(st.floats(0, 100), min_size=3, max_size=3).filter(lambda each: sum(each) > 1e-6)


@given(arrays(float, (3, 4, 2), elements=numbers), weights)
def test_weighted_mean_lies_between_its_members(answers: np.ndarray, weights: list[float]) -> None:
    mean = combining.weighted_mean(list(answers), weights)
    assert mean.shape == (4, 2)
    assert (mean >= answers.min(axis=0) - 1e-6).all()
    assert (mean <= answers.max(axis=0) + 1e-6).all()


@given(arrays(float, (3, 5), elements=numbers), weights, st.floats(0.01, 100))
def test_weighted_mean_does_not_depend_on_the_scale_of_the_weights(
    answers: np.ndarray, weights: list[float], scale: float
) -> None:
    once = combining.weighted_mean(list(answers), weights)
    again = combining.weighted_mean(list(answers), [scale * weight for weight in weights])
    assert again == pytest.approx(once, rel=1e-6, abs=1e-6)


def test_weighted_mean_of_single_precision_is_double() -> None:
    mean = combining.weighted_mean([np.float32([0.1]), np.float32([0.3])], [1, 3])
    assert mean.dtype == np.float64
    assert mean == pytest.approx([0.25])


@given(arrays(int, (3, 6), elements=st.integers(0, 3)), weights)
def test_weighted_vote_is_a_label_with_the_most_support(answers: np.ndarray, weights: list[float]) -> None:
    chosen = combining.weighted_vote(list(answers), weights)
    for place in range(6):
        support = {
            label: sum(w for w, vote in zip(weights, answers[:, place], strict=True) if vote == label)
            for label in answers[:, place]
        }
        assert support[chosen[place]] == pytest.approx(max(support.values()), abs=1e-6 * sum(weights))


def test_weighted_vote_with_a_tie_takes_the_first_member() -> None:
    votes = [np.array(["b", "a"]), np.array(["a", "a"]), np.array(["a", "b"])]
    assert combining.weighted_vote(votes, [0.3, 0.1, 0.2]).tolist() == ["b", "a"]


def test_weighted_vote_counts_weights_not_heads() -> None:
    votes = [np.array([[1]]), np.array([[0]]), np.array([[0]])]
    assert combining.weighted_vote(votes, [3, 1, 1]).tolist() == [[1]]


@pytest.mark.parametrize(
    ("answer", "expected", "rows", "said"),
    [
        ([0.1, np.nan], Shape(), 2, "answered nan in row 2"),
        ([0.1, np.inf], Shape(), 2, "answered inf in row 2"),
        ([[0.1, 0.9], [np.nan, 1]], Shape(width=2), 2, "answered nan in row 2"),
        (["a", None], Shape(), 2, "answered None in row 2"),
        ([0.1], Shape(), 2, "answered 1 rows for 2"),
        ([0.1, 0.2], Shape(width=2), 2, "answered one value a row instead of 2 values a row"),
        ([[0.1, 0.2, 0.7]], Shape(width=2), 1, "answered 3 values a row instead of 2 values a row"),
        (np.zeros((1, 1, 1)), Shape(), 1, "answered an array of 3 dimensions"),
        (
            pd.DataFrame({"x": [1]}),
            Shape(columns=("y",)),
            1,
            "answered the columns x instead of the columns y",
        ),
        (3.5, Shape(), 1, "answered an array of 0 dimensions"),
    ],
)
def test_values_of_what_cannot_be_used_says_why(answer: Any, expected: Shape, rows: int, said: str) -> None:
    with pytest.raises(Unusable, match=f"^{said}"):
        combining.values(answer, expected, rows)


def test_values_of_a_table_are_in_the_expected_order_of_columns() -> None:
    table = pd.DataFrame({"benign": [0.9], "malignant": [0.1]})
    assert combining.values(table, Shape(columns=("malignant", "benign")), 1).tolist() == [[0.1, 0.9]]


@pytest.mark.parametrize("answer", [[[0.2, 0.7]], [[1.2, -0.2]], [[3.0, 4.0]], [0.5], [[1.0]]])
def test_check_probabilities_refuses_what_does_not_sum_to_one(answer: Any) -> None:
    with pytest.raises(Unusable):
        combining.check_probabilities(np.array(answer))


def test_check_probabilities_takes_single_precision() -> None:
    combining.check_probabilities(np.float32([[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]]))


def test_widened_leaves_everything_but_single_precision_alone() -> None:
    table = pd.DataFrame({"score": np.float32([0.5]), "label": ["a"], "count": [1]})
    wide = combining.widened(table)
    assert (wide["score"].dtype, wide["count"].dtype) == (np.float64, np.int64)
    assert wide["label"].tolist() == ["a"]
    assert combining.widened(np.float32([0.5])).dtype == np.float64
    assert combining.widened(["a"]) == ["a"]
