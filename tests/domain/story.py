"""Tells the life of one release, one tick per line."""

from dataclasses import dataclass, field
from typing import Any

from releases.domain.plan import RolloutPlan, Rules, Step
from releases.domain.release import (
    Act,
    Decision,
    Effect,
    Gate,
    Intent,
    Observation,
    Phase,
    Progress,
    ReleaseState,
    Seen,
    TargetState,
    Work,
    decide,
    start,
)
from releases.domain.verdict import VerdictKind

READY = Seen(TargetState.READY, "ready")
DOWN = Seen(TargetState.FAILED, "connection refused")
CERTIFIED = VerdictKind.CERTIFIED
INCONCLUSIVE = VerdictKind.INCONCLUSIVE
HARM = VerdictKind.HARM
NO_DATA = VerdictKind.NO_DATA


def two_steps(**changes: Any) -> RolloutPlan:
    """10 % for 300 s, then 50 % for 600 s."""
    return RolloutPlan(**{"steps": (Step(10, 300), Step(50, 600)), "rules": Rules(), **changes})


@dataclass
class Story:
    """`tick` lets seconds pass and shows the release what is seen; unless told otherwise all is well.

    What a tick says of the world stays so until another tick says otherwise; an act is done once."""

    plan: RolloutPlan = field(default_factory=RolloutPlan)
    at: float = 1_800_000_000.0
    state: ReleaseState = field(init=False)
    decision: Decision = field(init=False)
    events: list[str] = field(default_factory=list)
    world: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.state = start(self.at)
        self.world = {
            "validation": Work(Progress.PASSED, "9 checks passed"),
            "gate": Gate(),
            "candidate": READY,
            "stable": READY,
            "smoke": Work(Progress.PASSED, "3 answers, 4 ms"),
            "effect": Effect.IN_EFFECT,
            "verdict": VerdictKind.NONE,
        }

    def tick(
        self, seconds: float = 1.0, *, act: Act | None = None, why: str = "said so", **world: Any
    ) -> Phase:
        """One pass; answers with the phase after it."""
        self.at += seconds
        self.world |= world
        intent = Intent(act, why, "ada") if act else None
        self.decision = decide(self.plan, self.state, Observation(self.at, intent=intent, **self.world))
        self.state = self.decision.state
        if self.decision.is_event:
            self.events.append(self.decision.reason)
        return self.state.phase

    def to_canary(self) -> "Story":
        """Through validation, deployment and smoke test into the first stage, split in effect."""
        for phase in (Phase.DEPLOYING, Phase.SMOKE_TESTING, Phase.CANARY, Phase.CANARY):
            assert self.tick() is phase
        return self

    @property
    def split(self) -> str:
        """ "90 / 10"."""
        return str(self.state.split)

    @property
    def reason(self) -> str:
        """What the last pass said."""
        return self.decision.reason
