"""What counts as which prediction, and that counting is bounded, harmless and cheap."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from serving.predictions import MOST_VALUES, PredictionCounter, prediction


@dataclass
class Output:
    """A V2 output, as far as it is looked at."""

    shape: Any
    data: Any


def counted(counter: PredictionCounter) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(counter)
    [family] = registry.collect()
    return {f"{s.labels['kind']}:{s.labels['value']}": s.value for s in family.samples}


def count(*answers: Sequence[Output]) -> dict[str, float]:
    """What is counted of these answers; zeros are left out."""
    counter = PredictionCounter()
    for outputs in answers:
        counter.count(outputs)
    return {key: number for key, number in counted(counter).items() if number}


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ([b"class_2"], ("label", "class_2")),
        (["class_2"], ("label", "class_2")),
        ([b"class\0"], ("label", "other")),
        (["class\ud800"], ("label", "other")),
        (["\u30af\u30e9\u30b9\u3000\uff11"], ("label", "\u30af\u30e9\u30b9\u3000\uff11")),
        ([True], ("label", "true")),
        ([2], ("label", "2")),
        ([2.0], ("label", "2")),
        ([-0.0], ("label", "0")),
        ([-1000], ("label", "-1000")),
        ([1001], ("number", "1024")),
        ([0.5], ("number", "0.5")),
        ([0.5001], ("number", "0.5453")),
        ([0.57], ("number", "0.5946")),
        ([-0.57], ("number", "-0.5453")),
        ([123_456.7], ("number", "1.311e+05")),
        ([None], ("label", "nan")),
        ([math.nan], ("label", "nan")),
        ([-math.inf], ("label", "-inf")),
        ([10**5000], ("label", "inf")),
        ([0.1, 0.2, 0.7], ("label", "argmax:2")),
        ([None, 0.2, math.nan], ("label", "argmax:1")),
        ([0.97, "refused"], ("label", "refused")),
        (["x" * 65], ("label", "other")),
    ],
)
def test_prediction_of_a_row_is_its_class_or_the_bucket_of_its_number(row: list[Any], value: object) -> None:
    assert prediction(row) == value


@given(st.floats(-1e300, 1e300))
def test_prediction_of_a_number_lies_in_its_bucket(number: float) -> None:
    kind, value = prediction([number])
    bound = float(value)
    if kind == "label":
        assert bound == number
    elif abs(number) > 1e-300:
        assert 0.9165 < number / bound < 1.0915


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30))
def test_buckets_are_in_the_order_of_their_numbers(numbers: list[float]) -> None:
    bounds = [float(prediction([number])[1]) for number in sorted(numbers)]
    assert all(
        low <= high or math.isclose(low, high, rel_tol=1e-3) for low, high in itertools.pairwise(bounds)
    )


def test_count_takes_the_first_row_of_a_request_only() -> None:
    assert count([Output([3, 1], ["a", "b", "b"])]) == {"label:a": 1}
    assert count([Output([3], [1, 2, 2])]) == {"label:1": 1}
    assert count([Output([2, 3], [0.1, 0.8, 0.1, 0.9, 0.1, 0.0])]) == {"label:argmax:1": 1}


def test_count_reads_the_columns_of_a_table_side_by_side() -> None:
    low, high = Output([2, 1], [0.2, 0.9]), Output([2, 1], [0.8, 0.1])
    assert count([low, high]) == {"label:argmax:1": 1}


@pytest.mark.parametrize(
    "strange",
    [
        None,
        [None],
        [Output(None, [1])],
        [Output([1, 1], None)],
        [Output([1, 1], [{"a": 1}])],
        [Output([1, 2], [[1], "x"])],
        [Output([1, 5000], [0.1] * 5000)],
        [Output([1, 2], [{}, object()])],
    ],
)
def test_count_of_what_cannot_be_understood_is_other(strange: Any) -> None:
    found = count(strange)
    assert sum(found.values()) == 1
    assert found.keys() <= {"label:other", "label:x"}


def test_count_of_an_answer_without_rows_counts_nothing() -> None:
    assert count([], [Output([0, 1], [])]) == {}


def test_other_is_there_from_the_beginning() -> None:
    assert counted(PredictionCounter()) == {"label:other": 0}


def test_text_beyond_the_bound_is_other() -> None:
    found = count(*([Output([1, 1], [f"word-{number}"])] for number in range(1000)))
    assert len(found) == MOST_VALUES
    assert found["label:other"] == 1000 - (MOST_VALUES - 1)


def test_numbers_beyond_the_bound_count_as_their_neighbours() -> None:
    counter = PredictionCounter()
    for step in range(1000):
        counter.count([Output([1, 1], [1.5 * 1.1**step])])
    full = counted(counter)
    assert len(full) == MOST_VALUES
    assert full["label:other"] == 0
    known = max((key for key in full if key.startswith("number:")), key=lambda key: float(key[7:]))
    counter.count([Output([1, 1], [1e200])])
    counter.count([Output([1, 1], [-7.5])])
    after = counted(counter)
    assert after[known] == full[known] + 1
    smallest = min((key for key in full if key.startswith("number:")), key=lambda key: float(key[7:]))
    assert after[smallest] == full[smallest] + 1


def test_metrics_page_shows_a_counter_by_kind_and_value() -> None:
    counter = PredictionCounter()
    counter.count([Output([1, 1], ['say "ä"\n'])])
    registry = CollectorRegistry()
    registry.register(counter)
    page = generate_latest(registry).decode()
    assert 'model_predictions_total{kind="label",value="say \\"ä\\"\\n"} 1.0' in page
    assert "# TYPE model_predictions_total counter" in page


def test_count_costs_microseconds() -> None:
    counter = PredictionCounter()
    answers = [[Output([100, 10], [0.1 * column for column in range(10)] * 100)]] * 2000
    started = time.process_time()
    for outputs in answers:
        counter.count(outputs)
    assert (time.process_time() - started) / len(answers) < 100e-6
