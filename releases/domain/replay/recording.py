"""Recordings as text: lines become samples, samples become lines.

Whatever is wrong is said with its line and field. Must not know what is judged, nor where lines come from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from releases.domain.judge import MOST_BINS, MOST_BUCKETS, Increments, Sample

LARGEST_COUNT = 10**12
LARGEST_TIME = 1e12
LINE_KEYS = ("t", "stable", "candidate")
ARM_KEYS = ("requests", "errors", "latency_ms", "predictions")
LATENCY_KEYS = ("le", "counts")


class BadRecording(ValueError):
    """A line that is no sample; says which line, which field, and why."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A sample and when it ended, in seconds."""

    t: float
    sample: Sample


def read_recording(lines: Iterable[str]) -> Iterator[Recorded]:
    """The samples of a recording, each as soon as its line is there (the first one with the second).

    Blank lines count as lines, not as samples. Raises `BadRecording`.
    """
    reader = _Reader()
    first: _Line | None = None
    before: float | None = None
    for text in lines:
        line = reader.read(text)
        if line is None:
            continue
        if before is None:
            first = line
        else:
            if first is not None:
                yield first.lasting(line.t - first.t)
                first = None
            yield line.lasting(line.t - before)
        before = line.t
    if first is not None:
        yield first.lasting(1.0)
    if before is None:
        raise BadRecording("there is no sample in it")


def write_line(recorded: Recorded) -> str:
    """A sample as a line of a recording, without the line's end."""
    sample = recorded.sample
    content = {"t": recorded.t, "stable": _written(sample.stable), "candidate": _written(sample.candidate)}
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _written(arm: Increments | None) -> dict[str, Any] | None:
    if arm is None:
        return None
    content: dict[str, Any] = {"requests": arm.requests, "errors": arm.errors}
    if arm.latency_ms and arm.bounds_ms:
        content["latency_ms"] = {"le": list(arm.bounds_ms), "counts": list(arm.latency_ms)}
    if arm.predictions:
        content["predictions"] = list(arm.predictions)
    return content


@dataclass(frozen=True, slots=True)
class _Line:
    """A line whose length is not known yet."""

    t: float
    arms: tuple[Increments | None, Increments | None]

    def lasting(self, seconds: float) -> Recorded:
        return Recorded(self.t, Sample(seconds, *self.arms))


class _Reader:
    """Reads line after line and remembers what has to stay as it was: times rise, bins stay the same."""

    def __init__(self) -> None:
        self.number = 0
        self.t = -math.inf
        self.bins: int | None = None

    def read(self, text: str) -> _Line | None:
        self.number += 1
        if not text.strip():
            return None
        try:
            content = json.loads(text.lstrip("\ufeff"), parse_constant=self._no_number)
        except (ValueError, RecursionError) as error:
            if isinstance(error, BadRecording):
                raise
            why = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
            raise BadRecording(f"line {self.number} is not JSON: {why}") from error
        self._keys("", content, LINE_KEYS, needed=LINE_KEYS)
        t = self._time(content["t"])
        stable, candidate = (self._arm(name, content[name]) for name in ("stable", "candidate"))
        self.t = t
        return _Line(t, (stable, candidate))

    def wrong(self, field: str, why: str) -> NoReturn:
        raise BadRecording(f"line {self.number}: {field} {why}".replace(":  ", ": "))

    def _no_number(self, word: str) -> NoReturn:
        raise BadRecording(f"line {self.number} is not JSON: {word} is not a number that JSON knows")

    def _keys(self, path: str, content: Any, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
        if not isinstance(content, Mapping):
            or_null = " or null" if path in ("stable", "candidate") else ""
            self.wrong(path or "a sample", f"has to be an object{or_null}")
        before = f"{path}." if path else ""
        for key in content:
            if key not in known:
                self.wrong(f"{before}{key[:60]}", f"is not known; known are {', '.join(known)}")
        for key in needed:
            if key not in content:
                self.wrong(f"{before}{key}", "is missing")

    def _time(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong("t", "has to be a number of seconds")
        if not abs(value) <= LARGEST_TIME:
            self.wrong("t", "is too large for seconds")
        if value <= self.t:
            self.wrong("t", f"has to rise: {value:.12g} comes after {self.t:.12g}")
        return float(value)

    def _arm(self, name: str, content: Any) -> Increments | None:
        if content is None:
            return None
        self._keys(name, content, ARM_KEYS, needed=("requests", "errors"))
        requests = self._count(f"{name}.requests", content["requests"])
        errors = self._count(f"{name}.errors", content["errors"])
        if errors > requests:
            self.wrong(f"{name}.errors", "is larger than requests")
        bounds, counts = self._latency(f"{name}.latency_ms", content.get("latency_ms"))
        predictions = self._predictions(f"{name}.predictions", content.get("predictions"))
        # The length of the sample is the line's, not known here and not read by the judge.
        return Increments(0.0, requests, errors, counts, bounds, predictions=predictions)

    def _latency(self, path: str, content: Any) -> tuple[tuple[float, ...], tuple[int, ...] | None]:
        if content is None:
            return (), None
        self._keys(path, content, LATENCY_KEYS, needed=LATENCY_KEYS)
        bounds = self._list(f"{path}.le", content["le"])
        for place, bound in enumerate(bounds):
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound <= LARGEST_TIME:
                self.wrong(f"{path}.le.{place}", "has to be a number of milliseconds above 0")
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            self.wrong(f"{path}.le", "has to be bounds that rise")
        counts = self._counts(f"{path}.counts", content["counts"])
        if len(counts) != len(bounds) + 1:
            needed = f"{len(bounds) + 1} counts for {len(bounds)} bounds"
            self.wrong(f"{path}.counts", f"needs {needed} (the last for all above), not {len(counts)}")
        if len(counts) > MOST_BUCKETS:
            self.wrong(f"{path}.counts", f"has {len(counts)} buckets; at most {MOST_BUCKETS} can be judged")
        return tuple(float(bound) for bound in bounds), counts

    def _predictions(self, path: str, content: Any) -> tuple[int, ...] | None:
        if content is None:
            return None
        counts = self._counts(path, content)
        if len(counts) > MOST_BINS:
            self.wrong(path, f"has {len(counts)} bins; at most {MOST_BINS} can be judged")
        if not counts:
            return None
        self.bins = self.bins or len(counts)
        if len(counts) != self.bins:
            self.wrong(path, f"has {len(counts)} bins, and {self.bins} before: bins stay the same")
        return counts

    def _counts(self, path: str, content: Any) -> tuple[int, ...]:
        values = self._list(path, content)
        return tuple(self._count(f"{path}.{place}", value) for place, value in enumerate(values))

    def _list(self, path: str, content: Any) -> list[Any]:
        if not isinstance(content, list):
            self.wrong(path, "has to be a list")
        return content

    def _count(self, path: str, value: Any) -> int:
        """What another program wrote as 5.0 is a whole number too."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.wrong(path, "has to be a whole number, 0 or more")
        if value > LARGEST_COUNT:
            self.wrong(path, f"is larger than {LARGEST_COUNT:.0e}, which no second can hold")
        return value
