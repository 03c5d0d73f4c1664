"""The cache's key: equal requests share it, all others do not."""

import copy
import datetime
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.canonical import Unkeyable, cache_key


def key(data: Any, params: dict[str, Any] | None = None, model: str = "m", logged_id: str = "1") -> str:
    return cache_key(model, logged_id, data, params)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3)
)
nested = st.recursive(
    values,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)
columns = st.one_of(
    st.lists(st.floats(width=32), min_size=2, max_size=2).map(lambda v: np.array(v, dtype=np.float32)),
    st.lists(st.floats(), min_size=2, max_size=2).map(np.array),
    st.lists(st.integers(-9, 9), min_size=2, max_size=2).map(np.array),
    st.lists(nested, min_size=2, max_size=2).map(lambda v: pd.Series(v, dtype=object)),
)
frames = st.dictionaries(st.text("ab", max_size=2), columns, min_size=1, max_size=3).map(pd.DataFrame)


def identity(value: Any) -> Any:
    """What makes a value what it is, written down in another way than the key does it."""
    if isinstance(value, pd.DataFrame):
        return "frame", [(name, str(value[name].dtype), identity(list(value[name]))) for name in value]
    if isinstance(value, list):
        return "list", [identity(each) for each in value]
    if isinstance(value, dict):
        return "dict", [(name, identity(each)) for name, each in value.items()]
    if isinstance(value, float | np.floating):
        text = "nan" if math.isnan(value) else float(value).hex()
        return type(value).__name__, text
    return type(value).__name__, repr(value)


@settings(deadline=None)
@given(frames, frames)
def test_key_is_shared_exactly_by_equal_requests(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert key(one) == key(copy.deepcopy(one))
    assert (key(one) == key(other)) == (identity(one) == identity(other))


@settings(deadline=None)
@given(st.lists(nested, min_size=2, max_size=2))
def test_key_tells_any_two_values_apart(pair: list[Any]) -> None:
    one, other = ({"value": value} for value in pair)
    frame = pd.DataFrame({"a": [1]})
    assert (key(frame, one) == key(frame, other)) == (identity(one) == identity(other))


def test_key_depends_on_model_version_and_parameters() -> None:
    frame = pd.DataFrame({"a": [1.0]})
    keys = {
        key(frame),
        key(frame, model="n"),
        key(frame, logged_id="2"),
        key(frame, {"tier": "premium"}),
        key(frame, {"tier": "basic"}),
        key(frame, model="m1", logged_id=""),
    }
    assert len(keys) == 6
    assert key(frame, {"a": 1, "b": 2}) == key(frame, {"b": 2, "a": 1})
    assert key(frame, {}) == key(frame, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [2, 1]})),
        (pd.DataFrame({"a": [0.0]}), pd.DataFrame({"a": [-0.0]})),
        (pd.DataFrame({"a": ["ab", "c"]}), pd.DataFrame({"a": ["a", "bc"]})),
        (pd.DataFrame({"a": ["1"]}), pd.DataFrame({"a": [1]}, dtype=object)),
        (pd.DataFrame({"a": [1, None]}, dtype="Int64"), pd.DataFrame({"a": [1, 0]}, dtype="Int64")),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[7])),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (np.array(["2024-01-01"], dtype="M8[D]"), np.array(["2024-01-01"], dtype="M8[s]")),
        ({"a": np.zeros(1)}, {"b": np.zeros(1)}),
    ],
)
def test_keys_of_different_inputs_differ(one: Any, other: Any) -> None:
    assert key(one) != key(other)


def test_keys_of_equal_inputs_in_other_memory_are_equal() -> None:
    wide = np.arange(12.0).reshape(3, 4)
    assert key(wide[:, ::2]) == key(wide[:, ::2].copy())
    assert key(wide) == key(wide.astype(">f8"))
    quiet, other = np.array([0x7FF8000000000000, 0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert key(np.array([quiet])) == key(np.array([other]))


@pytest.mark.parametrize(
    "strange",
    [
        pd.DataFrame({"a": pd.Categorical(["x"])}),
        pd.DataFrame({"a": pd.to_datetime(["2024-01-01"], utc=True)}),
        pd.DataFrame({"a": [object()]}),
        np.zeros(1, dtype=[("x", float)]),
        {"a": pd.NaT},
    ],
)
def test_key_of_what_cannot_be_compared_is_refused(strange: Any) -> None:
    with pytest.raises(Unkeyable):
        key(strange)


def test_key_of_values_of_time_and_gaps_is_stable() -> None:
    value = {"when": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), "gap": pd.NA}
    assert key(value) == key(copy.deepcopy(value))


def test_key_is_the_same_in_another_process() -> None:
    """Sets and hashes of text differ between processes; keys must not."""
    program = (
        "import pandas as pd; from serving.canonical import cache_key;"
        "print(cache_key('m', '1', pd.DataFrame({'a': [1.5], 'b': ['x']}), {'t': 'premium', 's': 'x'}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == key(pd.DataFrame({"a": [1.5], "b": ["x"]}), {"t": "premium", "s": "x"})
