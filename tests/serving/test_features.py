"""The block of features round a core: what the caller sends, what the core gets. Feast itself is in
tests/pipelines/test_features.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import Schema
from mlflow.types.schema import ColSpec, TensorSpec
from prometheus_client import REGISTRY

from serving import features
from serving.blocks import Draft
from serving.errors import CannotLoad, Problem
from serving.feature_values import OUTCOMES, FeaturesFailed, StoreUnreachable, Values
from serving.features import FeaturedPredictor, Settings, converted
from tests.serving.composed import core, write_spec

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
KNOWN = {1: (30, 12.5, NOW), 2: (40, 20.0, NOW), 3: (50, 7.0, NOW - timedelta(days=2)), 4: (60, None, NOW)}
"""Users by id: age, average purchase, when both were known. 3 is stale, 4 has no purchases."""
COLUMNS = [
    {"name": "avg_purchase", "type": "float"},
    {"name": "basket", "type": "double"},
    {"name": "age", "type": "long"},
]
VIEW_FEATURES = ["user_features:age", "user_features:avg_purchase"]


@dataclass
class Store:
    """Answers from a table, in the place of Feast."""

    reachable: bool = True
    asked: list[list[Any]] = field(default_factory=list)

    def read(self, ids: Sequence[Any]) -> Mapping[str, Values]:
        self.asked.append(list(ids))
        if not self.reachable:
            raise StoreUnreachable("gone")
        rows = [KNOWN.get(one, (None, None, None)) for one in ids]
        times = [time for *_, time in rows]
        return {
            each: Values([row[place] for row in rows], times, timedelta(days=1))
            for place, each in enumerate(VIEW_FEATURES)
        }


@dataclass
class Core:
    frames: list[pd.DataFrame] = field(default_factory=list)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        self.frames.append(frame)
        return frame["basket"].to_numpy()


def settings(**changes: Any) -> Settings:
    return Settings("user_id", VIEW_FEATURES, columns=COLUMNS, **changes)


def completed(ids: list[int], store: Store | None = None, **policies: Any) -> pd.DataFrame:
    """What the core is asked about these users."""
    inner = Core()
    predictor = FeaturedPredictor(inner, store or Store(), settings(**policies), now=lambda: NOW)
    frame = pd.DataFrame({"user_id": ids, "basket": np.arange(len(ids), dtype=float)})
    assert predictor.predict(frame, {}).tolist() == frame["basket"].tolist()
    assert frame.columns.tolist() == ["user_id", "basket"]  # the caller's table is left as it was
    [asked] = inner.frames
    return asked


DEFAULTS = {"age": 18, "avg_purchase": 1.5}


def counts() -> dict[str, float]:
    return {
        outcome: REGISTRY.get_sample_value("model_features_total", {"outcome": outcome}) or 0
        for outcome in OUTCOMES
    }


def test_core_gets_its_columns_in_its_order_and_types() -> None:
    frame = completed([2, 1, 2])
    assert frame.columns.tolist() == ["avg_purchase", "basket", "age"]
    assert frame["age"].tolist() == [40, 30, 40]
    assert frame["avg_purchase"].tolist() == [20.0, 12.5, 20.0]
    assert [str(dtype) for dtype in frame.dtypes] == ["float32", "float64", "int64"]


def test_entity_that_is_asked_for_twice_is_looked_up_once() -> None:
    store = Store()
    completed([2, 1, 2, 1], store)
    assert store.asked == [[2, 1]]


def test_core_that_takes_the_entity_gets_it() -> None:
    inner = Core()
    wanted = Settings("user_id", VIEW_FEATURES, columns=[{"name": "user_id", "type": "long"}, *COLUMNS])
    frame = pd.DataFrame({"user_id": [1], "basket": [1.0]})
    FeaturedPredictor(inner, Store(), wanted, now=lambda: NOW).predict(frame, {})
    assert inner.frames[0]["user_id"].tolist() == [1]


def test_rows_are_counted_by_what_became_of_them() -> None:
    before = counts()
    completed([1, 1, 3, 4, 999], on_missing="default", on_stale="default", defaults=DEFAULTS)
    completed([1], Store(reachable=False), on_unreachable="default", defaults=DEFAULTS)
    found = {outcome: number - before[outcome] for outcome, number in counts().items()}
    assert found == {"found": 2, "missing": 2, "stale": 1, "unreachable": 1}


def test_default_takes_the_place_of_what_is_missing_stale_or_out_of_reach() -> None:
    policies = {"on_missing": "default", "on_stale": "default", "on_unreachable": "default"}
    frame = completed([1, 3, 4, 999], **policies, defaults=DEFAULTS)
    assert frame["age"].tolist() == [30, 18, 60, 18]
    assert frame["avg_purchase"].tolist() == [12.5, 1.5, 1.5, 1.5]
    frame = completed([1], Store(reachable=False), **policies, defaults=DEFAULTS)
    assert frame["age"].tolist() == [18]


def test_null_takes_the_place_of_what_is_missing() -> None:
    inner = Core()
    wanted = Settings("user_id", VIEW_FEATURES[1:], on_missing="null", on_stale="null", columns=COLUMNS[:2])
    frame = pd.DataFrame({"user_id": [1, 3, 999], "basket": [1.0, 2.0, 3.0]})

    class Purchases(Store):
        def read(self, ids: Sequence[Any]) -> Mapping[str, Values]:
            return {VIEW_FEATURES[1]: super().read(ids)[VIEW_FEATURES[1]]}

    FeaturedPredictor(inner, Purchases(), wanted, now=lambda: NOW).predict(frame, {})
    assert inner.frames[0]["avg_purchase"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("ids", "reachable", "message"),
    [
        ([1, 999], True, "age, avg_purchase are missing for user_id 999"),
        ([1, 4], True, "avg_purchase is missing for user_id 4"),
        ([1, 3], True, "age, avg_purchase are stale for user_id 3"),
        ([1], False, "the feature store does not answer"),
    ],
)
def test_error_is_the_policy_unless_another_is_said(ids: list[int], reachable: bool, message: str) -> None:
    with pytest.raises(FeaturesFailed, match=message):
        completed(ids, Store(reachable))


@pytest.mark.parametrize(
    ("value", "type_name"),
    [
        (3.7, "long"),
        ("tall", "double"),
        (True, "long"),
        (1, "boolean"),
        (2**70, "long"),
        (2**40, "integer"),
        (1, "string"),
    ],
)
def test_value_that_does_not_fit_is_neither_cut_nor_shown(value: Any, type_name: str) -> None:
    with pytest.raises(ValueError, match=f"a feature is .* {type_name}") as raised:
        converted([value], type_name)
    assert str(value) not in str(raised.value)


def draft(*columns: Any) -> Draft:
    inputs = columns or (
        ColSpec("float", "avg_purchase"),
        ColSpec("double", "basket"),
        ColSpec("long", "age"),
    )
    example = pd.DataFrame({"avg_purchase": [1.0, 2.0], "basket": [3.0, 4.0], "age": [5, 6]})
    signature = ModelSignature(Schema(list(inputs)), Schema([ColSpec("double")]))
    return Draft("m", "0" * 32, Path(), signature, example)


def composed(draft: Draft, **options: Any) -> Any:
    given = {"entity": "user_id", "view_features": VIEW_FEATURES, "example_ids": [1, 2]} | options
    return features.compose(given, draft)


@pytest.fixture
def feast_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast lives in the models' environment; here only its number is asked for."""
    monkeypatch.setattr(features, "version", lambda package: "1.0")


def test_composed_model_asks_for_the_entity_instead_of_the_features(feast_installed: None) -> None:
    made = draft()
    document = composed(made)
    assert [(column.name, column.type.name) for column in made.signature.inputs.inputs] == [
        ("user_id", "long"),
        ("basket", "double"),
    ]
    assert made.signature.outputs == Schema([ColSpec("double")])
    assert made.input_example.to_dict("list") == {"user_id": [1, 2], "basket": [3.0, 4.0]}
    assert document["columns"] == COLUMNS
    assert [document[f"on_{each}"] for each in ("missing", "stale", "unreachable")] == ["error"] * 3
    assert made.requirements == ["feast==1.0", "redis==1.0"]


def test_composed_model_with_ids_of_text_asks_for_text(feast_installed: None) -> None:
    made = draft()
    composed(made, example_ids=["ada"])
    assert made.signature.inputs.inputs[0] == ColSpec("string", "user_id")
    assert made.input_example["user_id"].tolist() == ["ada", "ada"]


@pytest.mark.parametrize(
    ("options", "place", "message"),
    [
        ({"view_features": ["users:nope"]}, ("view_features", 0), "has no input nope; it has avg_purchase"),
        ({"view_features": ["users:age", "others:age"]}, ("view_features", 1), "age is there twice"),
        ({"entity": "age"}, ("view_features", 0), "age is there twice"),
        ({"example_ids": [1, "ada"]}, ("example_ids",), "mixed"),
        ({"on_missing": "default"}, ("on_missing",), "no default for age"),
        ({"on_stale": "null"}, ("on_stale",), "age is a long, which cannot be null"),
        ({"defaults": {"size": 1}}, ("defaults", "size"), "is no feature; features are age, avg_purchase"),
        ({"defaults": {"age": "old"}}, ("defaults", "age"), "'old' is no long"),
        ({"defaults": {"age": 18.5}}, ("defaults", "age"), "18.5 is no long"),
    ],
)
def test_options_that_cannot_work_are_refused_where_they_stand(
    options: Any, place: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(Problem, match=message) as raised:
        composed(draft(), **options)
    assert raised.value.place == ("features", *place)


def test_core_that_takes_no_table_is_refused() -> None:
    with pytest.raises(Problem, match="no table with named columns"):
        composed(draft(TensorSpec(np.dtype("float64"), (-1, 3))))


def test_options_fit_the_schema_of_a_spec(tmp_path: Path) -> None:
    options = {
        "entity": "user_id",
        "view_features": VIEW_FEATURES,
        "example_ids": [1],
        "on_stale": "default",
        "defaults": DEFAULTS,
    }
    asked = write_spec(tmp_path / "spec.yaml", core("single", {"one": None}), features=options)
    assert asked.blocks["features"] == options


@pytest.mark.parametrize(
    ("missing", "other"), [("FEATURE_STORE", "FEATURE_ONLINE_URL"), ("FEATURE_ONLINE_URL", "FEATURE_STORE")]
)
def test_model_without_its_variables_refuses_to_load(
    monkeypatch: pytest.MonkeyPatch, missing: str, other: str
) -> None:
    monkeypatch.setenv(other, "127.0.0.1:1/1")
    monkeypatch.delenv(missing, raising=False)
    opened: Any = None  # is not looked at
    with pytest.raises(CannotLoad, match=f"{missing} is not set"):
        features.wrap({}, opened, Core())
