"""Into which bins predictions are counted: chosen once, before the rollout, from stable's counts.

Bins that were chosen with an eye on what the candidate predicts would make the comparison worthless.
Must not know where counts come from, nor what is concluded from them.

A count is known by its key: "label:class_2" is a class, "number:0.5946" is a bucket of numbers with that
upper bound. Labels that are numbers themselves ("label:3") have a place among numbers as well.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

FEWEST_PREDICTIONS = 100
"""With fewer nothing is known of how stable's predictions are spread."""
MOST_LABELS = 12
MOST_RANGES = 8
"""Ranges of about equal mass; one below and one above may be added."""
MANY_LABELS = 100
COMMON = 0.05
"""The share of a label that has a bin of its own where there are many labels: a model server that has
seen too many counts new ones as "other", and which are new depends on what came first. Common ones are
among the first on every server."""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class PredictionBins:
    """Either one bin per label, or ranges between `edges`: a range holds its upper edge. Whatever does
    not belong there is in the last bin, "other"."""

    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.labels) == bool(self.edges):
            raise ValueError("bins are made of labels or of edges")
        if len(set(self.labels)) != len(self.labels) or OTHER in self.labels:
            raise ValueError("a label has one bin, and other is none")
        if list(self.edges) != sorted(set(self.edges)) or not all(map(math.isfinite, self.edges)):
            raise ValueError("edges are finite and rise")

    def __len__(self) -> int:
        return len(self.labels) + 1 if self.labels else len(self.edges) + 2

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds, for people."""
        return (*(self.labels or _ranges(self.edges)), OTHER)

    def count(self, counts: Mapping[str, int]) -> tuple[int, ...]:
        """Counts per bin, always as many. Each key is in one bin for ever: no bin of a growing counter
        ever goes down."""
        found = [0] * len(self)
        places = {label: place for place, label in enumerate(self.labels)}
        for key, number in counts.items():
            found[self._place(key, places)] += number
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return {"labels": list(self.labels)} if self.labels else {"edges": list(self.edges)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PredictionBins:
        """Raises `ValueError` when the content is none of `to_json`."""
        try:
            labels = tuple(str(label) for label in content.get("labels", ()))
            return cls(labels, tuple(float(edge) for edge in content.get("edges", ())))
        except (TypeError, AttributeError) as error:
            raise ValueError("this describes no bins of predictions") from error

    def _place(self, key: str, places: Mapping[str, int]) -> int:
        if self.labels:
            kind, _, value = key.partition(":")
            return places.get(value, len(self) - 1) if kind == "label" else len(self) - 1
        number = _number(key)
        return len(self) - 1 if number is None else bisect_left(self.edges, number)


def choose(counts: Mapping[str, int]) -> PredictionBins | None:
    """The bins for what stable has predicted so far; None when it has predicted too little.

    Numbers get ranges; so do whole numbers that are too many to be classes.
    """
    known = {key: number for key, number in counts.items() if number > 0}
    total = sum(known.values())
    if total < FEWEST_PREDICTIONS:
        return None
    points = {key: point for key in known if (point := _number(key)) is not None}
    mostly_numbers = 2 * sum(known[key] for key in points) > total
    if mostly_numbers and (len(points) > MOST_LABELS or any(key.startswith("number:") for key in points)):
        mass: Counter[float] = Counter()  # a label and a bucket may stand at the same place
        for key, point in points.items():
            mass[point] += known[key]
        return PredictionBins(edges=_edges(sorted(mass.items())))
    labels = _labels(known, total)
    return PredictionBins(labels=labels) if labels else None


def _labels(known: Mapping[str, int], total: int) -> tuple[str, ...]:
    """The most frequent ones, the order among equals by name."""
    labels = {
        key.partition(":")[2]: number
        for key, number in known.items()
        if key.startswith("label:") and key != f"label:{OTHER}"
    }
    fewest = COMMON * total if len(labels) > MANY_LABELS else 0
    ranked = sorted(labels, key=lambda label: (-labels[label], label))
    return tuple(label for label in ranked[:MOST_LABELS] if labels[label] >= fewest)


def _edges(points: Sequence[tuple[float, int]]) -> tuple[float, ...]:
    """Between groups of points whose middles lie in the same eighth of the mass. A value that is a
    group alone at an end (a constant, or what was cut off at 0) is closed in on its outer side too, so
    that what lies beyond is seen."""
    total = sum(number for _, number in points)
    groups: dict[int, list[float]] = {}
    below = 0
    for value, number in points:
        eighth = int(MOST_RANGES * (below + number / 2) / total)
        groups.setdefault(eighth, []).append(value)
        below += number
    ranges = list(groups.values())
    edges = [values[-1] for values in ranges[:-1]]
    if len(ranges[0]) == 1:
        edges.insert(0, math.nextafter(ranges[0][0], -math.inf))
    if len(ranges[-1]) == 1:
        edges.append(ranges[-1][0])
    return tuple(edges)


def _number(key: str) -> float | None:
    """Where the key stands among numbers; None when it is none."""
    kind, _, value = key.partition(":")
    if kind not in ("label", "number"):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _ranges(edges: tuple[float, ...]) -> list[str]:
    """Names of the ranges; one that holds a single value is called by it."""
    texts = [f"{edge:.4g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    # Only a single value that is closed in at the lower end has edges with no number between them.
    if len(edges) > 1 and edges[0] == math.nextafter(edges[1], -math.inf):
        return [f"below {texts[1]}", texts[1], *between[1:], f"above {texts[-1]}"]
    return [f"up to {texts[0]}", *between, f"above {texts[-1]}"]
