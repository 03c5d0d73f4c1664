"""Plans that can be decided with the traffic at hand, for one that cannot: a heavier last step, or more
time. Each is the smallest change that is certain on PROPOSED_SHARE of the paths."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from releases.domain.forecast import words
from releases.domain.forecast.answer import PROPOSED_SHARE, Proposal
from releases.domain.forecast.course import Floats, course_of
from releases.domain.judge.explanation import duration
from releases.domain.plan import LONGEST_SECONDS, RolloutPlan

HEAVIEST = 75
"""Above this weight it is no canary any more."""


def propose(plan: RolloutPlan, requests_per_second: float, needed: Floats) -> tuple[Proposal, ...]:
    """`needed`: requests until certified, on each path. Empty when nothing helps."""
    given = float(np.quantile(needed, PROPOSED_SHARE, method="higher")) / requests_per_second
    if not math.isfinite(given):
        return ()
    found = (_heavier(plan, given), _longer(plan, given))
    return tuple(proposal for proposal in found if proposal is not None)


def _heavier(plan: RolloutPlan, given: float) -> Proposal | None:
    if not plan.steps:
        return None
    lightest = plan.steps[-1].weight + 1

    def with_weight(weight: int) -> RolloutPlan:
        return replace(plan, steps=(*plan.steps[:-1], replace(plan.steps[-1], weight=weight)))

    def ends(weight: int) -> float:
        return float(course_of(with_weight(weight)).time_of(np.array([given]))[0])

    window = course_of(plan).window
    weight = next((w for w in range(lightest, HEAVIEST + 1) if ends(w) <= window), None)
    if weight is None:
        return None
    word = f"Give the last step {weight} %"
    return Proposal("weight", weight, with_weight(weight), word, words.heavier(ends(weight)))


def _longer(plan: RolloutPlan, given: float) -> Proposal | None:
    course = course_of(plan)
    seconds = _round_up(float(course.time_of(np.array([given]))[0]))
    if not course.window < seconds <= LONGEST_SECONDS:
        return None
    changed = replace(plan, max_canary_seconds=seconds)
    word = f"Wait up to {duration(seconds)}"
    return Proposal("max_canary_seconds", seconds, changed, word, words.longer(course.window))


def _round_up(seconds: float) -> int:
    """Whole minutes below two hours, quarters of an hour above."""
    unit = 60 if seconds < 7_200 else 900
    return unit * math.ceil(seconds / unit)
