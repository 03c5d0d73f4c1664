"""What `decide` may know of the world, as values: unknown, not there and bad are different things."""

from dataclasses import dataclass, field
from enum import StrEnum

from releases.domain.release.phases import Act
from releases.domain.verdict import VerdictKind


class Progress(StrEnum):
    """Of work done elsewhere."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


class TargetState(StrEnum):
    """Of a deployment, as its target tells it."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """How the traffic that is in effect compares with the split that was decided."""

    IN_EFFECT = "in_effect"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Work:
    """Validation or smoke test: how far, and a sentence."""

    progress: Progress = Progress.PENDING
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """Approvals at the gate where the release stands."""

    required: int = 0
    given: int = 0
    rejection: str | None = None
    expires_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Enough have agreed and nobody has said no."""
        return self.rejection is None and self.given >= self.required


@dataclass(frozen=True, slots=True)
class Seen:
    """A deployment as seen: health and a sentence."""

    health: TargetState = TargetState.UNKNOWN
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person asked for, and why."""

    act: Act
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Observation:
    """All that `decide` may know of the world; times in Unix seconds."""

    at: float
    validation: Work = field(default_factory=Work)
    gate: Gate = field(default_factory=Gate)
    candidate: Seen = field(default_factory=Seen)
    stable: Seen | None = None
    smoke: Work = field(default_factory=Work)
    effect: Effect = Effect.UNKNOWN
    effect_detail: str = ""
    verdict: VerdictKind = VerdictKind.NONE
    verdict_summary: str = ""
    nothing_speaks_against: bool = True
    intent: Intent | None = None
