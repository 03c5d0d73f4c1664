"""How an answer of a model is written for the cache, and how it is read again without trust.

JSON, never pickle: whoever can write to Redis must not be able to run code in a model server, nor reach a
native parser. What is read has to be complete, to belong to its key, to have a value per row of the request
and the types of the model's signature; all else raises Poisoned. Must not know Redis.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import Schema
from mlflow.types.schema import ColSpec, DataType, TensorSpec

VERSION = 1
KINDS = {"b": "truth", "i": "whole", "u": "whole", "f": "real", "O": "text", "U": "text", "T": "text"}
"""By the letter that numpy has for a type: as coarse as signature and answer of a model agree in practice."""
SIGNATURE_KINDS = {
    DataType.boolean: "truth",
    DataType.integer: "whole",
    DataType.long: "whole",
    DataType.float: "real",
    DataType.double: "real",
    DataType.string: "text",
}
VALUES: dict[str, set[type]] = {
    "truth": {bool},
    "whole": {int},
    "real": {float},
    "text": {str},
    "object": {str, type(None)},
}
NUMBERS = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
MOST_COLUMNS = 4096


class Poisoned(Exception):
    """What was found in the cache is not an answer of this model to this request."""


class Unkeepable(Exception):
    """This answer would not come back as it is, or is not what the signature promises."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What the model's signature says of an answer: the kind of each column; names only of a table."""

    kinds: tuple[str, ...]
    names: tuple[str, ...] | None


def promise_of(outputs: Schema | None) -> Promise | None:
    """From a signature; None if it promises nothing that can be checked."""
    if outputs is None:
        return None
    kinds: list[str] = []
    for output in outputs.inputs:
        if isinstance(output, TensorSpec):
            width = int(np.prod(output.shape[1:], dtype=int))
            kind = KINDS.get(output.type.kind)
        elif isinstance(output, ColSpec) and isinstance(output.type, DataType):
            width, kind = 1, SIGNATURE_KINDS.get(output.type)
        else:
            return None
        if kind is None or not 0 <= width <= MOST_COLUMNS:
            return None
        kinds += [kind] * width
    names = tuple(map(str, outputs.input_names())) if outputs.has_input_names() else ()
    return Promise(tuple(kinds), names if names and len(names) == len(kinds) else None)


def write(answer: Any, key: str, rows: int, promise: Promise | None) -> bytes:
    """The answer as bytes; raises Unkeepable."""
    text = _text(answer, key)
    try:  # tried at once: better not kept than never readable
        again = read(text, key, rows, promise)
    except Poisoned as error:
        raise Unkeepable(str(error)) from error
    if _text(again, key) != text:
        raise Unkeepable("the answer would not come back as it is")
    return text


def read(content: bytes, key: str, rows: int, promise: Promise | None) -> Any:
    """The answer; raises Poisoned unless the content is whole, of this key, and as promised."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION or document["key"] != key:
            raise Poisoned("it belongs to another request")
        shape, columns = document["shape"], document["columns"]
        if shape[0] != rows:
            raise Poisoned(f"it has {shape[0]} rows, the request has {rows}")
        _check(document["container"], shape, columns, promise)
        return _put_together(document["container"], shape, columns)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise Poisoned(f"it is not a kept answer ({type(error).__name__})") from error


def _text(answer: Any, key: str) -> bytes:
    try:
        document = {"version": VERSION, "key": key, **_taken_apart(answer)}
        return json.dumps(document, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise Unkeepable(f"the answer cannot be written: {error}") from error


def _taken_apart(answer: Any) -> dict[str, Any]:
    """An answer as container, shape and columns; an array is one column, row after row."""
    match answer:
        case np.ndarray():
            container, shape, columns = "array", answer.shape, [_column(None, answer.dtype, answer.ravel())]
        case pd.DataFrame() if answer.index.equals(pd.RangeIndex(len(answer))):
            container, shape = "frame", answer.shape
            columns = [_column(name, answer[name].dtype, answer[name]) for name in answer.columns]
        case pd.Series() if answer.index.equals(pd.RangeIndex(len(answer))):
            container, shape = "series", answer.shape
            columns = [_column(answer.name, answer.dtype, answer)]
        case list() if answer:
            container, shape = "list", (len(answer),)
            columns = [{"name": None, "type": type(answer[0]).__name__, "values": answer}]
        case _:
            raise Unkeepable(f"a {type(answer).__name__} like this is not kept")
    return {"container": container, "shape": list(shape), "columns": columns}


def _column(name: Any, dtype: Any, values: Any) -> dict[str, Any]:
    kind = "str" if getattr(dtype, "kind", "") == "U" else str(dtype)  # the width of text is of no account
    return {"name": name, "type": kind, "values": values.tolist()}


def _kind(type_name: str) -> str:
    """The kind of a column's type; raises ValueError for types that are not kept."""
    if type_name in ("str", "object"):
        return "text"
    if type_name in ("int", "float"):  # of a list
        return {"int": "whole", "float": "real"}[type_name]
    if not NUMBERS.fullmatch(type_name):
        raise ValueError(f"values of type {type_name} are not kept")
    return KINDS[np.dtype(type_name).kind]


def _check(container: str, shape: list[int], columns: list[Any], promise: Promise | None) -> None:
    """Every value has the type of its column, and all columns are those of the signature."""
    widths = [math.prod(shape[1:])] if container == "array" else [1] * len(columns)
    kinds: list[str] = []
    for width, column in zip(widths, columns, strict=True):
        kind, values = _kind(column["type"]), column["values"]
        if len(values) != shape[0] * width or width > MOST_COLUMNS:
            raise Poisoned("its columns have not the length of its shape")
        if not set(map(type, values)) <= VALUES["object" if column["type"] == "object" else kind]:
            raise Poisoned(f"a column of type {column['type']} holds something else")
        kinds += [kind] * width
    if promise is None:
        return
    if tuple(kinds) != promise.kinds:
        raise Poisoned("its columns are not of the types that the signature of the model promises")
    names = tuple(column["name"] for column in columns)
    if container == "frame" and promise.names is not None and names != promise.names:
        raise Poisoned("its columns have not the names that the signature of the model promises")


def _put_together(container: str, shape: list[int], columns: list[Any]) -> Any:
    with np.errstate(all="ignore"):
        arrays = [
            column["values"] if container == "list" else np.array(column["values"], dtype=column["type"])
            for column in columns
        ]
    if container == "array":
        return arrays[0].reshape(shape)
    if container == "list":
        return arrays[0]
    series = [
        pd.Series(values, name=column["name"], dtype=column["type"])
        for values, column in zip(arrays, columns, strict=True)
    ]
    if container == "series":
        return series[0]
    if container == "frame":
        return pd.concat(series, axis=1)
    raise ValueError(f"unknown container {container}")
