"""Messages of Seldon's own protocol (SeldonMessage as JSON), in and out of arrays.

Shapes read in Seldon Core 1.17.1: `data` holds `names` and either `ndarray` (nested lists) or `tensor`
(`shape` and `values`). What the executor posts to `/aggregate` is a bare JSON list of the children's
answers, `proto/prediction.proto` calls the same `{"seldonMessages": […]}`; both are read. Knows no server.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.errors import RequestRefused

Message = Mapping[str, Any]


def messages(content: Any) -> list[Message]:
    """The messages of a list, in the order of the graph's children. Raises `RequestRefused`."""
    found = content.get("seldonMessages") if isinstance(content, Mapping) else content
    if not isinstance(found, list) or not all(isinstance(message, Mapping) for message in found):
        raise RequestRefused("the body is no list of Seldon messages")
    return found


def read(message: Message) -> tuple[np.ndarray, list[str]]:
    """The array of a message and the names of its columns (none, maybe). Raises `RequestRefused`."""
    data = message.get("data")
    if not isinstance(data, Mapping):
        raise RequestRefused("the message has no `data`: text, bytes and jsonData are not read here")
    names = data.get("names") or []
    if not isinstance(names, list):
        raise RequestRefused("`data.names` is no list")
    try:
        if "tensor" in data:
            array = _tensor(data["tensor"])
        elif "ndarray" in data:
            array = np.array(data["ndarray"])
        else:
            raise RequestRefused("`data` has neither `ndarray` nor `tensor`: nothing else is read here")
    except (TypeError, ValueError, KeyError) as error:
        raise RequestRefused(f"the array cannot be read: {error}") from error
    return array, [str(name) for name in names]


def written(array: np.ndarray, names: Sequence[str], like: Message) -> dict[str, Any]:
    """A message with this array, in the form of the one that is answered; text is always an `ndarray`."""
    data: dict[str, Any] = {"names": list(names)}
    if "tensor" in like.get("data", {}) and array.dtype.kind in "fiub":
        data["tensor"] = {"shape": list(array.shape), "values": array.ravel().tolist()}
    else:
        data["ndarray"] = array.tolist()
    return {"data": data, "meta": {}}


def failure(words: str, code: int) -> dict[str, Any]:
    """What is answered in place of a message, with the same code as HTTP status."""
    return {"status": {"status": "FAILURE", "code": code, "info": words, "reason": "MODEL_ERROR"}}


def merged_meta(of: Sequence[Message]) -> dict[str, Any]:
    """Tags and request paths of all, as Seldon's own wrapper merges them: later ones win."""
    merged: dict[str, Any] = {"tags": {}, "requestPath": {}}
    for message in of:
        meta = message.get("meta")
        for key, kept in merged.items():
            kept |= (meta.get(key) if isinstance(meta, Mapping) else None) or {}
    return merged


def _tensor(tensor: Mapping[str, Any]) -> np.ndarray:
    shape = [int(length) for length in tensor["shape"]]
    values = tensor["values"]
    if math.prod(shape) != len(values):
        raise ValueError(f"{len(values)} values do not fill the shape {shape}")
    return np.array(values).reshape(shape)
