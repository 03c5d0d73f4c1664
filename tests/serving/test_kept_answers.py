"""Answers in the cache: they come back as they were, or are not used."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import infer_signature
from mlflow.types.schema import ColSpec, Schema

from serving.kept_answers import Poisoned, Unkeepable, promise_of, read, write

KEY = "0" * 64
INPUT = pd.DataFrame({"a": [1.0, 2.0]})


def again(answer: Any, rows: int = 2) -> Any:
    promise = promise_of(infer_signature(INPUT, answer).outputs)
    return read(write(answer, KEY, rows, promise), KEY, rows, promise)


def assert_same(found: Any, answer: Any) -> None:
    assert type(found) is type(answer)
    if isinstance(answer, pd.DataFrame):
        pd.testing.assert_frame_equal(found, answer)
    elif isinstance(answer, pd.Series):
        pd.testing.assert_series_equal(found, answer)
    elif isinstance(answer, np.ndarray):
        assert found.dtype == answer.dtype
        np.testing.assert_array_equal(found, answer)
        np.testing.assert_array_equal(
            np.signbit(found), np.signbit(answer)
        ) if answer.dtype.kind == "f" else None
    else:
        assert found == answer


@pytest.mark.parametrize(
    "answer",
    [
        np.array([2, 0]),
        np.array([2, 0], dtype=np.int32),
        np.array([2**63 - 1, -(2**63)]),
        np.array([[0.1, 0.9], [0.5, 0.5]]),
        np.array([[0.1, 0.9], [0.5, 0.5]], dtype=np.float32),
        np.array([-0.0, np.nan]),
        np.array([np.inf, -np.inf]),
        np.array([True, False]),
        np.array(["class_1", "ä"]),
        np.array(["class_1", "class_2"], dtype=object),
        pd.DataFrame({"price": [0.5, 9.0], "label": ["good", "bad"]}),
        pd.DataFrame({"price": [1, 9]}),
        pd.Series([0.5, 1.5], name="price"),
        ["class_1", "class_2"],
    ],
)
def test_answer_comes_back_as_it_was(answer: Any) -> None:
    assert_same(again(answer), answer)


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=1, max_size=5), st.sampled_from([np.float64, np.float32]))
def test_numbers_come_back_to_the_last_bit(numbers: list[float], dtype: Any) -> None:
    with np.errstate(over="ignore"):
        answer = np.array(numbers, dtype=dtype)
    promise = promise_of(infer_signature(INPUT, np.ones(2, dtype)).outputs)
    found = read(write(answer, KEY, len(numbers), promise), KEY, len(numbers), promise)
    np.testing.assert_array_equal(found, answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"label": np.array([1, 2])},
        np.array([object(), object()]),
        np.array([1 + 1j, 2]),
        np.array(["2024-01-01", "2024-01-02"], dtype="M8[D]"),
        np.array([1, "x"], dtype=object),
        pd.Series([1, 2], index=[5, 6]),
        pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
        [1, "x"],
        [],
        None,
    ],
)
def test_answer_that_would_not_come_back_as_it_was_is_not_kept(answer: Any) -> None:
    with pytest.raises(Unkeepable):
        write(answer, KEY, 2, None)


def test_answer_that_the_signature_does_not_promise_is_not_kept() -> None:
    promise = promise_of(infer_signature(INPUT, np.array([1, 2])).outputs)
    with pytest.raises(Unkeepable, match="signature"):
        write(np.array([0.5, 0.7]), KEY, 2, promise)
    with pytest.raises(Unkeepable, match="rows"):
        write(np.array([1, 2, 3]), KEY, 2, promise)


GOOD = json.loads(write(np.array([[0.1, 0.9], [0.5, 0.5]]), KEY, 2, None))
PROMISE = promise_of(infer_signature(INPUT, np.array([[0.1, 0.9], [0.5, 0.5]])).outputs)


def altered(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def column(**changes: Any) -> bytes:
    return altered(columns=[GOOD["columns"][0] | changes])


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\x80\x04K\x01.",  # a pickle
        b"[" * 100_000,
        b"9" * 10_000,
        json.dumps(GOOD).encode()[:-5],
        altered(version=2),
        altered(key="1" * 64),
        altered(shape=[3, 2]),
        altered(shape=[2]),
        altered(shape=[]),
        altered(shape=[2, 2.0]),
        altered(shape=[2, -2]),
        altered(container="set"),
        altered(container="list"),
        altered(container="frame"),
        altered(columns=[]),
        altered(columns=None),
        altered(columns=[7]),
        altered(columns=[*GOOD["columns"], *GOOD["columns"]]),
        column(values=[0.1, 0.9, 0.5]),
        column(values=["a", "b", "c", "d"]),
        column(values=[1, 2, 3, 4]),
        column(values=[[0.1], [0.9], [0.5], [0.5]]),
        column(values="abcd"),
        column(type="int64", values=[1, 2, 3, 4]),
        column(type="object", values=["a", "b", "c", "d"]),
        column(type="V8"),
        column(type="O"),
        column(type=7),
        column(type="int64", values=[2**70, 2, 3, 4]),
    ],
)
def test_poisoned_value_is_refused(poison: bytes) -> None:
    with pytest.raises(Poisoned):
        read(poison, KEY, 2, PROMISE)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_json_in_the_place_of_an_answer_is_refused_or_has_its_form(data: st.DataObject) -> None:
    anything = st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
    document = json.loads(json.dumps(GOOD))
    part = data.draw(st.sampled_from([*sorted(GOOD), "name", "type", "values"]))
    (document if part in GOOD else document["columns"][0])[part] = data.draw(anything)
    try:
        found = read(json.dumps(document).encode(), KEY, 2, PROMISE)
    except Poisoned:
        return
    assert isinstance(found, np.ndarray)
    assert found.shape == (2, 2)
    assert found.dtype.kind == "f"


def test_value_of_a_signature_with_names_has_those_names() -> None:
    promise = promise_of(infer_signature(INPUT, pd.DataFrame({"a": [1.0], "b": [1.0]})).outputs)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    content = write(frame, KEY, 2, promise)
    with pytest.raises(Poisoned, match="names"):
        read(content.replace(b'"name":"b"', b'"name":"c"'), KEY, 2, promise)


def test_signature_that_promises_nothing_comparable_leaves_the_form_to_the_answer() -> None:
    assert promise_of(None) is None
    assert promise_of(Schema([ColSpec("datetime", "when")])) is None
