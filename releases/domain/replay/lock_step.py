"""Recordings through the judge: one, or many side by side, each until it is decided.

Replay judges the evidence alone and ends at the first decision, harm or certified, whatever holds a plan
has. Must not know where samples come from, nor how an ending is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from releases.domain import judge
from releases.domain.judge import ArmFreshness, Freshness, Increments, JudgeRules, Reading
from releases.domain.replay.recording import Recorded
from releases.domain.verdict import Verdict, VerdictKind

DECISIVE = frozenset({VerdictKind.HARM, VerdictKind.CERTIFIED})


@dataclass(frozen=True, slots=True)
class Ending:
    """What was said in the end: `at` is the t of the decision, None without one; after so many samples."""

    verdict: Verdict
    at: float | None
    samples: int


class LockStep:
    """R replays that take each step together."""

    def __init__(self, rules: Sequence[JudgeRules]) -> None:
        self._rules = judge.RuleBatch.of(rules)
        self._state = judge.initial_state(len(rules))
        self._arms = [(_Arm(), _Arm()) for _ in rules]

    def step(self, recorded: Sequence[Recorded]) -> tuple[VerdictKind, ...]:
        """Fold one sample of each; the kinds that `verdicts` would have now."""
        batch = judge.SampleBatch.of([one.sample for one in recorded])
        self._state = judge.fold(self._rules, self._state, batch)
        self._arms = [
            (stable.seen(one.sample.stable, one.t), candidate.seen(one.sample.candidate, one.t))
            for (stable, candidate), one in zip(self._arms, recorded, strict=True)
        ]
        return judge.kinds_of(self._rules, self._state, self._freshness())

    def verdicts(self) -> list[Verdict]:
        """What the judge says of each now, in sentences."""
        return judge.judge(self._rules, self._state, self._freshness())

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these only."""
        self._rules = judge.RuleBatch.of([self._rules.rules[row] for row in rows])
        self._state = self._state[np.array(rows, dtype=np.intp)]
        self._arms = [self._arms[row] for row in rows]

    def _freshness(self) -> list[Freshness]:
        """A release without stable says DATA for it."""
        return [
            Freshness(
                candidate.freshness, stable.freshness if rules.has_stable else ArmFreshness(Reading.DATA)
            )
            for rules, (stable, candidate) in zip(self._rules.rules, self._arms, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Arm:
    """What the last reading of an arm was, when that was, and since when it has been so."""

    reading: Reading | None = None
    since: float = 0.0
    at: float = 0.0

    def seen(self, increments: Increments | None, at: float) -> _Arm:
        reading = Reading.UNREACHABLE
        if increments is not None:
            reading = Reading.DATA if increments.requests else Reading.NO_DATA
        if reading is self.reading:
            return replace(self, at=at)
        return _Arm(reading, at, at)

    @property
    def freshness(self) -> ArmFreshness:
        return ArmFreshness(self.reading or Reading.NO_DATA, self.at - self.since)


def replay(rules: Sequence[JudgeRules], recordings: Sequence[Sequence[Recorded]]) -> list[Ending | None]:
    """How each recording ends under its rules; None for one without samples. All are judged in one batch
    that shrinks as they end, in as many steps as the longest needs."""
    endings: list[Ending | None] = [None] * len(recordings)
    open_ = [row for row, samples in enumerate(recordings) if samples]
    steps = LockStep([rules[row] for row in open_])
    number = 0
    while open_:
        kinds = steps.step([recordings[row][number] for row in open_])
        number += 1
        ends = [
            kind in DECISIVE or number == len(recordings[row]) for row, kind in zip(open_, kinds, strict=True)
        ]
        if any(ends):
            for row, verdict, is_over in zip(open_, steps.verdicts(), ends, strict=True):
                if is_over:
                    at = recordings[row][number - 1].t if verdict.kind in DECISIVE else None
                    endings[row] = Ending(verdict, at, number)
            going_on = [place for place, is_over in enumerate(ends) if not is_over]
            open_ = [open_[place] for place in going_on]
            steps.keep(going_on)
    return endings


def follow(rules: JudgeRules, recorded: Iterable[Recorded]) -> Iterator[Ending]:
    """What would be said after each sample; the last is the ending."""
    steps = LockStep([rules])
    for number, one in enumerate(recorded, start=1):
        steps.step([one])
        verdict = steps.verdicts()[0]
        is_over = verdict.kind in DECISIVE
        yield Ending(verdict, one.t if is_over else None, number)
        if is_over:
            return
