"""The answers of members as arrays of one shape, and how answers become one: mean, vote.

Pure: numpy and pandas, no models. Whatever a member may return comes in; what cannot be used raises
`Unusable` with the end of a sentence about that member.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from serving.composition import Shape

PROBABILITY_SLACK = 1e-3
"""By how much the probabilities of a row may miss 1: members compute in single precision."""


class Unusable(Exception):
    """An answer that cannot be used: "answered nan in row 3"."""


def shape_of(answer: Any) -> Shape:
    """The shape of an answer, whatever its number of rows."""
    if isinstance(answer, pd.DataFrame):
        return Shape(columns=tuple(str(column) for column in answer.columns))
    array = np.asarray(answer)
    if array.ndim == 1:
        return Shape()
    if array.ndim == 2:
        return Shape(width=array.shape[1])
    raise Unusable(f"answered an array of {array.ndim} dimensions, of which nothing is made here")


def values(answer: Any, expected: Shape, rows: int) -> np.ndarray:
    """The answer as an array: (rows,) or (rows, columns), columns in the expected order.

    Raises `Unusable` for another shape, and for a value that is missing, NaN or infinite."""
    found = shape_of(answer)
    if found.columns is not None and expected.columns is not None:
        if sorted(found.columns) != sorted(expected.columns):
            raise Unusable(f"answered {found} instead of {expected}")
        answer = answer.set_axis(list(found.columns), axis=1)[list(expected.columns)]
    elif found != expected:
        raise Unusable(f"answered {found} instead of {expected}")
    array = np.asarray(answer)
    if len(array) != rows:
        raise Unusable(f"answered {len(array)} rows for {rows}")
    bad = ~np.isfinite(array) if array.dtype.kind in "fc" else np.asarray(pd.isna(array))
    if bad.any():
        place = tuple(np.argwhere(bad)[0])
        raise Unusable(f"answered {array[place]} in row {int(place[0]) + 1}")
    return array


def check_numbers(array: np.ndarray) -> None:
    """Raises `Unusable` unless these are numbers."""
    if array.dtype.kind not in "fiu":
        raise Unusable(f"answered {array.dtype} values, of which there is no mean")


def check_probabilities(array: np.ndarray) -> None:
    """Raises `Unusable` unless each row holds probabilities: not negative, with the sum 1."""
    if array.ndim != 2 or array.shape[1] < 2:
        raise Unusable("answered one value a row, not the probabilities of classes")
    check_numbers(array)
    if (array < -PROBABILITY_SLACK).any() or (abs(array.sum(axis=1) - 1) > PROBABILITY_SLACK).any():
        raise Unusable("answered numbers that are no probabilities: its rows do not sum to 1")


def check_labels(array: np.ndarray) -> None:
    """Raises `Unusable` unless there is one label a row."""
    if array.ndim == 2 and array.shape[1] != 1:
        raise Unusable(f"answered {array.shape[1]} values a row, not a label")


CHECKS = {"mean_of_probabilities": check_probabilities, "vote": check_labels, "mean": check_numbers}
"""What an answer has to be for each way to combine; the names are those of a spec."""


def weighted_mean(answers: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """The mean of arrays of one shape, in double precision; the weights need not sum to 1."""
    total = np.zeros(answers[0].shape)
    for answer, weight in zip(answers, weights, strict=True):
        total += weight * answer.astype(float)
    return total / sum(weights)


def weighted_vote(answers: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """The label with the greatest sum of weights in each place; among equals, that of the first member."""
    stacked = np.stack(answers)
    support = np.array(
        [
            sum(weight * (stacked[other] == stacked[one]) for other, weight in enumerate(weights))
            for one in range(len(weights))
        ],
        dtype=float,
    )
    # 0.1 + 0.2 is not 0.3 in a float, but it is a tie.
    support = np.round(support / sum(weights), 9)
    chosen = support.argmax(axis=0)
    return np.asarray(np.take_along_axis(stacked, chosen[np.newaxis], axis=0)[0])


def as_answer(array: np.ndarray, shape: Shape) -> Any:
    """An array in the form in which members answer: a table when their columns have names."""
    return array if shape.columns is None else pd.DataFrame(array, columns=list(shape.columns))


def widened(answer: Any) -> Any:
    """Single-precision numbers as double: one signature, whichever member answers."""
    if isinstance(answer, pd.DataFrame):
        narrow = [column for column, kind in answer.dtypes.items() if kind == np.float32]
        return answer.astype(dict.fromkeys(narrow, np.float64)) if narrow else answer
    if isinstance(answer, np.ndarray | pd.Series) and answer.dtype == np.float32:
        return answer.astype(np.float64)
    return answer
