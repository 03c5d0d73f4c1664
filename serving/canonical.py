"""The key under which an answer is cached: SHA-256 of a canonical form of all that the answer depends on.

Every part is written with its type and its length, so two different requests never share a form; equal ones
share it in every process. What cannot be written with certainty raises Unkeyable and is not cached. A key
too fine costs a miss, one too coarse a wrong answer: in doubt, things are different. Must not know Redis.
"""

import hashlib
import struct
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

PLAIN_KINDS = "biufc"  # truth values, integers, floats, complex numbers: their bytes are their value
TIME_KINDS = "mM"


class Unkeyable(Exception):
    """The request holds something whose equality cannot be judged from its value."""


def cache_key(model: str, logged_id: str, data: Any, params: Mapping[str, Any] | None) -> str:
    """The key as 64 hexadecimal digits.

    `model` is the registered name and `logged_id` the unique id of the logged model: together a version,
    known before its number is. `data` is a DataFrame, an array or a mapping of names to arrays.
    """
    form = _Form()
    form.text(model)
    form.text(logged_id)
    form.value(data)
    form.value({name: params[name] for name in sorted(params)} if params else {})
    return form.digest()


class _Form:
    """Writes values into a hash, each as tag, length and bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"model-cache 1")

    def digest(self) -> str:
        return self._hash.hexdigest()

    def part(self, tag: bytes, content: bytes | memoryview) -> None:
        self._hash.update(tag + struct.pack(">Q", len(content)))
        self._hash.update(content)

    def text(self, text: str) -> None:
        self.part(b"s", text.encode("utf-8", "surrogatepass"))

    def value(self, value: Any) -> None:
        """Any value that a request may hold."""
        match value:
            case None:
                self.part(b"0", b"")
            case pd.DataFrame():
                self._frame(value)
            case pd.Series():
                self._frame(value.to_frame())
            case np.ndarray() | np.generic():
                self._array(np.asarray(value))
            case bool():
                self.part(b"b", b"1" if value else b"0")
            case int():
                self.part(b"i", b"%d" % value)
            case float():
                self._array(np.asarray(value))
            case str():
                self.text(value)
            case bytes():
                self.part(b"y", value)
            case list() | tuple():
                self._sequence(b"l", list(value))
            case dict():
                self._sequence(b"d", [part for item in value.items() for part in item])
            case date() if value is not pd.NaT:
                self.part(b"t", f"{type(value).__name__} {value.isoformat()}".encode())
            case _ if value is pd.NA:
                self.part(b"?", b"")
            case _:
                raise Unkeyable(f"a {type(value).__name__} has no canonical form")

    def _frame(self, frame: pd.DataFrame) -> None:
        self.part(b"F", b"%d %d" % frame.shape)
        if not frame.index.equals(pd.RangeIndex(len(frame))):
            self._column(frame.index.to_series())
        for place, name in enumerate(frame.columns):
            self.value(name)
            self._column(frame.iloc[:, place])

    def _column(self, column: "pd.Series[Any]") -> None:
        if isinstance(column.dtype, np.dtype):
            self._array(column.to_numpy())
        elif isinstance(column.dtype, pd.StringDtype) or column.dtype.kind in PLAIN_KINDS:
            self.text(str(column.dtype))
            self._sequence(b"c", column.tolist())
        else:  # the same values with other categories or another time zone are another input
            raise Unkeyable(f"a column of type {column.dtype} has no canonical form")

    def _array(self, array: "np.ndarray[Any, Any]") -> None:
        kind = array.dtype.kind
        if kind in PLAIN_KINDS + TIME_KINDS:
            little = array.astype(array.dtype.newbyteorder("<"))
            if kind == "f":
                little[np.isnan(little)] = np.nan  # of the many bit patterns of "no number" one
            self.part(b"A", f"{little.dtype.str} {little.shape}".encode())
            self.part(b"v", little.tobytes())
        elif kind in "OUS":
            self.part(b"O", f"{kind} {array.shape}".encode())
            self._sequence(b"v", array.ravel().tolist())
        else:
            raise Unkeyable(f"an array of type {array.dtype} has no canonical form")

    def _sequence(self, tag: bytes, values: list[Any]) -> None:
        self.part(tag, b"%d" % len(values))
        for value in values:
            self.value(value)
