"""Picking a few places evenly out of many, row by row.

Must not know what the places are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from releases.domain.judge.samples import Bools

Indices = NDArray[np.intp]


def spread(eligible: Bools, most: int) -> tuple[Indices, Indices, Indices]:
    """At most `most` of the eligible places of each row, evenly over them; all of them where they are fewer.

    `eligible` is (R, places). Returns the picks as rows, columns, and their number within the row from 0.
    """
    rank = eligible.cumsum(axis=1) - 1
    size = np.maximum(eligible.sum(axis=1), most)[:, None]
    number = rank * most // size
    first = eligible & ((rank - 1) * most // size != number)
    rows, columns = np.nonzero(first)
    return rows, columns, number[rows, columns]
