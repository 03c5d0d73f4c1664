"""The block of features: the request names entities, the model gets what the feature store knows of them.

A value may be missing (the entity is unknown, or has no value), stale (older than its view's time to live)
or out of reach. For each there is a policy: `error` fails the request, `default` and `null` let the model
answer without it. An error is the model's failure (500), not the caller's: to the judge a candidate that
asks for features that nobody has must not look healthy. Must not know Feast, nor what a core is.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import Schema
from mlflow.types.schema import ColSpec, DataType

from serving.blocks import Document, Draft, Opened, Options, Predictor
from serving.counters import counter
from serving.errors import CannotLoad, Problem
from serving.feature_values import OUTCOMES, UNREACHABLE, StoreUnreachable, Values, check, filled, worst

KEY = "features"
STORE_VARIABLE, ADDRESS_VARIABLE = "FEATURE_STORE", "FEATURE_ONLINE_URL"
WITHOUT_NULL = (DataType.boolean, DataType.integer, DataType.long)
ACCEPTED: Mapping[DataType, tuple[type, ...]] = {
    DataType.string: (str,),
    DataType.boolean: (bool,),
    DataType.integer: (int,),
    DataType.long: (int,),
    DataType.float: (int, float),
    DataType.double: (int, float),
}
"""Types of values that a core's input of each type may get; others would be cut or guessed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a spec, with the defaults filled in, and what the core takes."""

    entity: str
    view_features: list[str]
    on_missing: str = "error"
    on_stale: str = "error"
    on_unreachable: str = "error"
    defaults: dict[str, Any] = field(default_factory=dict)
    columns: list[dict[str, str]] = field(default_factory=list)
    """Inputs of the core in their order, as {"name", "type"} with MLflow's names of types."""

    @property
    def policies(self) -> dict[str, str]:
        """By what is wrong with a value."""
        return {"missing": self.on_missing, "stale": self.on_stale, "unreachable": self.on_unreachable}

    @property
    def names(self) -> list[str]:
        """The features without their views: inputs of the core."""
        return [each.partition(":")[2] for each in self.view_features]


class Online(Protocol):
    """Where features come from."""

    def read(self, ids: Sequence[Any]) -> Mapping[str, Values]:
        """Per `view:feature` the values of these entities; raises StoreUnreachable."""
        ...


def compose(options: Options, draft: Draft) -> Document:
    """Take the features out of what the caller sends, and put the entity in.

    Raises Problem. The feature store itself is not looked at: it need not be where models are composed."""
    ids = options["example_ids"]
    inputs = _columns(draft.signature)
    settings = Settings(
        **{key: value for key, value in options.items() if key != "example_ids"},
        columns=[{"name": str(column.name), "type": _type_name(column)} for column in inputs],
    )
    for place, sentence in _problems(settings, ids):
        raise Problem((KEY, *place), sentence)
    own = [column for column in inputs if column.name not in settings.names]
    example = draft.input_example.drop(columns=settings.names)
    if settings.entity not in {column.name for column in own}:
        kind = DataType.long if isinstance(ids[0], int) else DataType.string
        own = [ColSpec(kind, settings.entity), *own]
        example.insert(0, settings.entity, None)
    example[settings.entity] = [ids[row % len(ids)] for row in range(len(example))]
    draft.input_example = example
    draft.signature = ModelSignature(Schema([*own]), draft.signature.outputs, draft.signature.params)
    draft.requirements += [f"{package}=={version(package)}" for package in ("feast", "redis")]
    return asdict(settings)


def wrap(document: Document, opened: Opened, inner: Predictor) -> Predictor:
    """Stand round the core. An online store that is not there yet is no reason to refuse; a repository
    that lacks the features is."""
    folder, address = (_needed(name) for name in (STORE_VARIABLE, ADDRESS_VARIABLE))
    # Feast takes seconds to import: whoever composes a model, or tests this module, does without.
    from serving.feature_store import OnlineFeatures, open_store

    settings = Settings(**document)
    ids_are_text = opened.signature.inputs.input_dict()[settings.entity].type is DataType.string
    store = open_store(Path(folder), address)
    online = OnlineFeatures(store, settings.entity, settings.view_features, ids_are_text)
    return FeaturedPredictor(inner, online, settings)


class FeaturedPredictor:
    """A core that gets the features of the entities which the request names."""

    def __init__(
        self,
        inner: Predictor,
        online: Online,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inner = inner
        self._online = online
        self._settings = settings
        self._types = {column["name"]: column["type"] for column in settings.columns}
        self._now = now
        self._rows = counter(
            "model_features_total", "Rows of requests, by what became of their features", ("outcome",)
        )
        for outcome in OUTCOMES:
            self._rows.labels(outcome)

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """The core's answer. Raises FeaturesFailed where a policy says so."""
        return self._inner.predict(self.completed(frame), params)

    def completed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with the columns that the core takes, in the core's order."""
        settings, asked = self._settings, frame[self._settings.entity].tolist()
        ids = list(dict.fromkeys(asked))
        values, outcomes = self._looked_up(ids)
        place = {one: index for index, one in enumerate(ids)}
        rows = [place[one] for one in asked]
        of_rows = worst(list(outcomes.values()))
        for row in rows:
            self._rows.labels(of_rows[row]).inc()
        check(settings.entity, ids, outcomes, settings.policies)
        columns = dict(frame.items())
        for name in settings.names:
            usable = filled(values[name], outcomes[name], settings.policies, settings.defaults.get(name))
            columns[name] = pd.Series(
                converted([usable[row] for row in rows], self._types[name]), index=frame.index
            )
        return pd.DataFrame({name: columns[name] for name in self._types if name in columns})

    def _looked_up(self, ids: Sequence[Any]) -> tuple[dict[str, Sequence[Any]], dict[str, list[str]]]:
        """By feature the values of these entities, and what each is."""
        names = dict(zip(self._settings.view_features, self._settings.names, strict=True))
        try:
            found = self._online.read(ids)
        except StoreUnreachable:
            nothing, unreachable = [None] * len(ids), [UNREACHABLE] * len(ids)
            return dict.fromkeys(names.values(), nothing), dict.fromkeys(names.values(), unreachable)
        now = self._now()
        values = {name: found[each].values for each, name in names.items()}
        return values, {name: found[each].outcomes(now) for each, name in names.items()}


def converted(values: Sequence[Any], type_name: str) -> "np.ndarray[Any, Any]":
    """Values as the core takes them; None becomes "no number". Raises ValueError for what does not fit,
    in words that do not show it: values of features are somebody's."""
    kind = DataType[type_name]
    for value in values:
        # To Python a truth value is a whole number, too.
        fits = isinstance(value, ACCEPTED[kind]) and isinstance(value, bool) == (kind is DataType.boolean)
        if value is not None and not fits:
            raise ValueError(f"a feature is of the type {type(value).__name__}, which is no {type_name}")
    if kind is DataType.string:
        return np.array(values, dtype=object)
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=kind.to_numpy())
    except OverflowError as error:
        raise ValueError(f"a feature is too large for a {type_name}") from error


def _problems(settings: Settings, ids: Sequence[Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What a schema cannot say about the options: where, and a sentence."""
    types = {column["name"]: column["type"] for column in settings.columns}
    for place, name in enumerate(settings.names):
        if name not in types:
            yield ("view_features", place), f"the core has no input {name}; it has {', '.join(types)}"
        elif types[name] not in {kind.name for kind in ACCEPTED}:
            yield ("view_features", place), f"the core's input {name} is {types[name]}, which no feature is"
        if name in settings.names[:place] or name == settings.entity:
            yield ("view_features", place), f"{name} is there twice"
    if len({type(one) for one in ids}) > 1:
        yield ("example_ids",), "numbers and text are mixed"
    for option, policy in settings.policies.items():
        for name in settings.names:
            if policy == "default" and name not in settings.defaults:
                yield (f"on_{option}",), f"there is no default for {name}"
            if policy == "null" and DataType[types[name]] in WITHOUT_NULL:
                yield (f"on_{option}",), f"{name} is a {types[name]}, which cannot be null; a default can"
    for name, default in settings.defaults.items():
        if name not in settings.names:
            yield ("defaults", name), f"is no feature; features are {', '.join(settings.names)}"
            continue
        try:
            converted([default], types[name])
        except ValueError:
            yield ("defaults", name), f"{default!r} is no {types[name]}"


def _columns(signature: ModelSignature) -> list[ColSpec]:
    columns = list(signature.inputs.inputs) if signature.inputs else []
    if not columns or not all(isinstance(column, ColSpec) and column.name for column in columns):
        raise Problem((KEY,), "the core takes no table with named columns: features cannot be put into it")
    return columns


def _type_name(column: ColSpec) -> str:
    return column.type.name if isinstance(column.type, DataType) else "nested"


def _needed(name: str) -> str:
    if value := os.environ.get(name):
        return value
    raise CannotLoad(f"{name} is not set: this model looks its features up in a feature store")
