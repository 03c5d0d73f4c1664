"""What the figures have in common: the window of time, the marks of transitions, lines of values."""

import math
from collections.abc import Sequence
from typing import Any

from releases.domain.release import TERMINAL, Phase
from releases.models import Release, Transition
from releases.services.queries.samples import Floats, Series

Figure = dict[str, Any]


def window_of(
    release: Release,
    transitions: Sequence[Transition],
    series: Series,
    ends_at: float | None,
    now: float,
) -> tuple[float, float]:
    """From shortly before the first sample to the end of the hold, or of what there is."""
    first = float(series.candidate.at[0]) - 1
    last = float(series.candidate.at[-1])
    if release.phase in TERMINAL:
        last = max([last, *(line.at.timestamp() for line in transitions if line.at.timestamp() < last + 600)])
    else:
        last = max(last, now)
    to = max(last, ends_at or 0.0)
    length = max(to - first, 20.0)
    # What has ended gets room on the right for the names of its last marks.
    after = 0.42 if release.phase in TERMINAL else 0.04
    return first - 0.04 * length, to + after * length


_MARKS = {
    Phase.PAUSED: ("paused", "warn"),
    Phase.PROMOTING: ("to 100 %", "success"),
    Phase.ROLLING_BACK: ("rolling back", "danger"),
    Phase.ROLLED_BACK: ("back on stable", "stable"),
    Phase.SUCCEEDED: ("succeeded", "success"),
}


def known_until(release: Release, series: Series, window: tuple[float, float]) -> float:
    """How far the split is known: to the newest sample, or for good once the release has ended."""
    return window[1] if release.phase in TERMINAL else float(series.candidate.at[-1])


def marks_of(
    transitions: Sequence[Transition], window: tuple[float, float], ends_at: float | None
) -> list[dict[str, Any]]:
    """A line at every transition since traffic moved; a label where there is room for it."""
    marks: list[dict[str, Any]] = []
    before: tuple[str, int] | None = None
    for line in transitions:
        now, phase = (line.to_phase, line.step), Phase(line.to_phase)
        if now == before or line.at.timestamp() < window[0]:
            before = now
            continue
        label, role = _MARKS.get(phase, ("", ""))
        if phase is Phase.CANARY:
            resumed = before is not None and before[0] == Phase.PAUSED
            label, role = ("resumed" if resumed else f"canary {line.split_candidate} %", "candidate")
        if label:
            marks.append({"t": round(line.at.timestamp(), 1), "label": label, "role": role})
        before = now
    if ends_at is not None:
        marks.append({"t": round(ends_at, 1), "label": "hold ends", "role": "future"})
    near = 0.12 * (window[1] - window[0])
    for before_it, mark, after_it in zip(marks, marks[1:], marks[2:], strict=False):
        if max(mark["t"] - before_it["t"], after_it["t"] - mark["t"]) < near:
            mark["label"] = ""  # no room on either side
    return marks


def line_of(name: str, role: str, at: Floats, values: Floats, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "x": times_of(at), "y": numbers_of(values), **more}


def times_of(at: Floats) -> list[float]:
    return [round(float(moment), 1) for moment in at]


def numbers_of(values: Floats) -> list[float | None]:
    """Four digits that count; None where there is nothing to draw."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]
