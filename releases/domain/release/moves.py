"""The moves of the state machine: from a state and a reason to the next state. They ask no questions."""

from dataclasses import replace

from releases.domain.plan import RolloutPlan, TrafficSplit
from releases.domain.release.observation import Intent, Observation
from releases.domain.release.phases import BEFORE_TRAFFIC, TERMINAL, Phase
from releases.domain.release.state import Decision, ReleaseState


def move(state: ReleaseState, phase: Phase, at: float, reason: str, **changes: object) -> Decision:
    # `replace` wants the type of each field; a wrong name raises TypeError, and every move is tested.
    moved = replace(state, phase=phase, since=at, unknown_since=None, **changes)  # type: ignore[arg-type]  # names and types are the callers'
    return Decision(moved, reason, is_event=True, wake_in=None if phase in TERMINAL else 0.0)


def stay(state: ReleaseState, reason: str, wake_in: float = 1.0) -> Decision:
    return Decision(state, reason, wake_in=wake_in)


def roll_back(state: ReleaseState, at: float, reason: str) -> Decision:
    """All traffic to stable, now."""
    return move(state, Phase.ROLLING_BACK, at, reason, split=TrafficSplit(0), hold_since=None)


def abort(state: ReleaseState, seen: Observation, intent: Intent) -> Decision:
    reason = f"aborted by {intent.by}: {intent.reason}"
    if state.phase in BEFORE_TRAFFIC:
        return move(state, Phase.CANCELLED, seen.at, reason, split=TrafficSplit(0))
    return roll_back(state, seen.at, reason)


def is_late(state: ReleaseState, seen: Observation, deadline: float) -> bool:
    return seen.at - state.since > deadline


def enter_stage(plan: RolloutPlan, state: ReleaseState, seen: Observation, step: int, why: str) -> Decision:
    stage = plan.stages[step - 1]
    reason = f"{why}; {describe_stage(plan, step)}"
    return move(
        state,
        Phase.CANARY,
        seen.at,
        reason,
        step=step,
        split=stage.split,
        hold_since=None,
        hold_elapsed=0.0,
        earlier_holds=state.earlier_holds + state.held(seen.at),
        hold_waived=False,
    )


def promote(state: ReleaseState, seen: Observation, reason: str) -> Decision:
    return move(
        state,
        Phase.PROMOTING,
        seen.at,
        reason,
        split=TrafficSplit(100),
        hold_since=None,
        hold_elapsed=0.0,
        hold_waived=False,
    )


def describe_stage(plan: RolloutPlan, step: int) -> str:
    """ "step 1 of 2: 10 % for 300 s"."""
    stage = plan.stages[step - 1]
    share = "mirrored" if stage.split.shadow else f"{stage.split.candidate} %"
    return f"step {step} of {len(plan.stages)}: {share} for {stage.hold_seconds} s"


def pause(state: ReleaseState, seen: Observation, reason: str) -> Decision:
    """Keep the split, stop the hold clock."""
    return move(state, Phase.PAUSED, seen.at, reason, hold_since=None, hold_elapsed=state.held(seen.at))
