"""The course of a plan: which share of the requests each arm answers when, and how long the plan lasts.

A plan's clock stands while a person is waited for; those times are left out here. Must not know of
evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from releases.domain.plan import RolloutPlan, Stage

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time of one split. `candidate`, `stable`: shares of all requests, both 1 while mirrored."""

    begins: float
    candidate: float
    stable: float
    name: str


@dataclass(frozen=True, slots=True)
class Course:
    """Stretches in order, the first begins at 0; the last goes on until `window`, the end of the plan.

    `holds`: seconds until the last hold is over. `warm_up`: seconds at the beginning that are not judged.
    """

    stretches: tuple[Stretch, ...]
    holds: float
    window: float
    warm_up: float

    def judged(self, at: Floats) -> Floats:
        """What the candidate has been given and judged on until `at`, in seconds of all traffic."""
        return self._given(at, [0.0 if s.begins < self.warm_up else s.candidate for s in self._judged_parts])

    def given(self, at: Floats) -> tuple[Floats, Floats]:
        """The same for candidate and stable, judged or not."""
        parts = self._judged_parts
        return self._given(at, [s.candidate for s in parts]), self._given(at, [s.stable for s in parts])

    def time_of(self, judged: Floats) -> Floats:
        """When the candidate has been given so much; the last split lasts for ever. inf stays inf."""
        parts = self._judged_parts
        begins = np.array([part.begins for part in parts])
        had = self.judged(begins)
        # Of parts without judged traffic the last one begins where the amount starts to grow.
        index = np.maximum(np.searchsorted(had, judged, side="right") - 1, 0)
        index = np.maximum(index, np.searchsorted(begins, self.warm_up))
        share = np.array([part.candidate for part in parts])[index]
        time: Floats = begins[index] + (judged - had[index]) / share
        return time

    def split_at(self, at: float) -> Stretch:
        """The stretch in which a moment lies."""
        return [stretch for stretch in self.stretches if stretch.begins <= max(at, 0.0)][-1]

    @property
    def _judged_parts(self) -> list[Stretch]:
        """The stretches, cut where the warm-up ends."""
        cut = self.split_at(self.warm_up)
        after = Stretch(self.warm_up, cut.candidate, cut.stable, cut.name)
        parts = [s for s in self.stretches if s.begins != self.warm_up] + [after]
        return sorted(parts, key=lambda part: part.begins)

    def _given(self, at: Floats, shares: Sequence[float]) -> Floats:
        begins = np.array([part.begins for part in self._judged_parts])
        lasted = np.clip(at[..., None] - begins, 0.0, np.append(np.diff(begins), np.inf))
        given: Floats = lasted @ np.array(shares)
        return given


def course_of(plan: RolloutPlan) -> Course:
    """The whole course of a plan, from the beginning of traffic."""
    whole = _seconds(plan)
    holds = float(sum(stage.hold_seconds for stage in plan.stages))
    return _course(plan.stages, holds, whole, plan.rules.warm_up_seconds)


def course_ahead(
    plan: RolloutPlan, step: int, *, hold_left: float, total: float, warm_up_left: float, stands: bool = False
) -> Course:
    """What is left of it at a step (from 1), `total` seconds of the plan's clock after its beginning.
    `stands`: paused, so that the present split goes on."""
    stages = plan.stages[step - 1 : step] if stands else plan.stages[step - 1 :]
    now = Stage(stages[0].split, math.ceil(hold_left), stages[0].approval)
    holds = hold_left + sum(stage.hold_seconds for stage in stages[1:])
    return _course((now, *stages[1:]), holds, max(_seconds(plan) - total, holds), warm_up_left)


def _seconds(plan: RolloutPlan) -> float:
    """The plan's time. Without a certificate to wait for it ends with the holds."""
    holds = sum(stage.hold_seconds for stage in plan.stages)
    return float(max(plan.max_canary_seconds, holds) if plan.promotion == "certified" else holds)


def _course(stages: Sequence[Stage], holds: float, window: float, warm_up: float) -> Course:
    stretches, begins = [], 0.0
    for stage in stages:
        mirrored = stage.split.shadow
        stretches.append(
            Stretch(
                begins,
                1.0 if mirrored else stage.split.candidate / 100,
                1.0 if mirrored else stage.split.stable / 100,
                "while mirrored" if mirrored else f"at {stage.split.candidate} %",
            )
        )
        begins += stage.hold_seconds
    # A stage without a hold is passed at once.
    kept = [a for a, b in pairwise(stretches) if a.begins < b.begins]
    return Course((*kept, *stretches[-1:]), holds, window, max(0.0, warm_up))
