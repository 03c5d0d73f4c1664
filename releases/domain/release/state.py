"""Where a release stands, and what is decided next. Values only; time is an argument."""

from dataclasses import dataclass, field

from releases.domain.plan import RolloutPlan, TrafficSplit
from releases.domain.release.phases import Phase


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """Where a release stands. `step` counts the plan's stages from 1; 0 is before them.

    `hold_since` is the time since which the hold clock runs (None: it stands), `hold_elapsed` what it
    has run before, `earlier_holds` what earlier stages took since the last person looked.
    """

    phase: Phase = Phase.VALIDATING
    since: float = 0.0
    step: int = 0
    split: TrafficSplit = field(default_factory=TrafficSplit)
    hold_since: float | None = None
    hold_elapsed: float = 0.0
    earlier_holds: float = 0.0
    hold_waived: bool = False
    unknown_since: float | None = None

    def held(self, at: float) -> float:
        """Seconds that the split of this stage has been seen in effect: without pauses, without the
        time since the world became unknown."""
        if self.hold_since is None:
            return self.hold_elapsed
        until = at if self.unknown_since is None else self.unknown_since
        return self.hold_elapsed + max(0.0, until - self.hold_since)


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state, why, and when to look again. `is_event`: worth a line in the history."""

    state: ReleaseState
    reason: str
    is_event: bool = False
    wake_in: float | None = 1.0
    intent_is_done: bool = False


def start(at: float) -> ReleaseState:
    """The state of a release that has just been filed."""
    return ReleaseState(Phase.VALIDATING, at)


def gate_of(plan: RolloutPlan, state: ReleaseState) -> int:
    """Which gate approvals count for now: 0 before deployment, k for leaving stage k."""
    return state.step if state.phase in (Phase.CANARY, Phase.PAUSED) else 0
