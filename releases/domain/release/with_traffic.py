"""Decisions while the candidate gets traffic, or is losing it."""

from dataclasses import replace

from releases.domain.plan import RolloutPlan
from releases.domain.release.moves import describe_stage, enter_stage, move, pause, promote, roll_back, stay
from releases.domain.release.observation import Effect, Intent, Observation, TargetState
from releases.domain.release.phases import Act, Phase
from releases.domain.release.state import Decision, ReleaseState
from releases.domain.verdict import VerdictKind


def _harm(state: ReleaseState, seen: Observation) -> Decision | None:
    """Back to stable; unless stable is known to be down and the candidate is up: then a person."""
    if seen.verdict is not VerdictKind.HARM:
        return None
    stable_is_down = seen.stable is not None and seen.stable.health in (
        TargetState.FAILED,
        TargetState.ABSENT,
        TargetState.STARTING,
    )
    if stable_is_down and seen.candidate.health is TargetState.READY:
        detail = seen.stable.detail if seen.stable else ""
        reason = f"harm, but stable does not serve ({detail}): going back would make it worse"
        if state.phase is not Phase.CANARY:
            return stay(state, reason)
        return pause(state, seen, reason)
    return roll_back(state, seen.at, seen.verdict_summary or "the evidence of harm reached its limit")


def _clock(state: ReleaseState, seen: Observation, is_unknown: bool) -> ReleaseState:
    """The hold runs from the moment the split is first seen in effect; it stands while the split
    differs and while anything essential is unknown."""
    if seen.effect is Effect.DIFFERENT and state.hold_since is not None:
        state = replace(state, hold_since=None, hold_elapsed=state.held(seen.at))
    if is_unknown:
        return state if state.unknown_since is not None else replace(state, unknown_since=seen.at)
    if state.unknown_since is not None:
        since = None if state.hold_since is None else seen.at
        state = replace(state, hold_since=since, hold_elapsed=state.held(seen.at), unknown_since=None)
    if seen.effect is Effect.IN_EFFECT and state.hold_since is None:
        state = replace(state, hold_since=seen.at)
    return state


def _meddled(before: ReleaseState, state: ReleaseState, seen: Observation) -> Decision | None:
    """A split that was in effect and is not any more was changed by someone else: the reconciler
    repairs it, and that is worth a line in the history."""
    if seen.effect is not Effect.DIFFERENT or before.hold_since is None:
        return None
    changed = f"the split was changed from outside ({seen.effect_detail}); repairing it"
    return Decision(state, changed, is_event=True)


def _unknown(seen: Observation) -> str | None:
    """Why nothing may move now, if anything essential is unknown."""
    if seen.effect is Effect.UNKNOWN:
        return f"the gateway cannot be read: {seen.effect_detail}".rstrip(": ")
    if seen.verdict is VerdictKind.UNREACHABLE:
        return seen.verdict_summary or "the metric source cannot be reached"
    if seen.candidate.health is not TargetState.READY:
        is_unknown = seen.candidate.health is TargetState.UNKNOWN
        said = "the candidate cannot be reached" if is_unknown else "the candidate does not serve"
        return f"{said}: {seen.candidate.detail}".rstrip(": ")
    return None


def canary(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    if seen.gate.rejection is not None:
        return roll_back(state, seen.at, seen.gate.rejection)
    intent = seen.intent
    if intent is not None and intent.act is Act.PAUSE:
        return pause(state, seen, f"paused by {intent.by}: {intent.reason}")
    waived_now = intent is not None and intent.act is Act.PROMOTE
    if waived_now:
        state = replace(state, hold_waived=True)
    unknown = _unknown(seen)
    clocked = _clock(state, seen, unknown is not None)
    meddled = _meddled(state, clocked, seen)
    if meddled is not None:
        return meddled
    if unknown is not None:
        return _hold_unknown(plan, clocked, seen, unknown)
    if seen.effect is Effect.DIFFERENT:
        return stay(clocked, f"{describe_stage(plan, state.step)}, not yet in effect")
    return _advance(plan, clocked, seen, intent if waived_now else None)


def _hold_unknown(plan: RolloutPlan, state: ReleaseState, seen: Observation, reason: str) -> Decision:
    since = state.unknown_since
    if since is not None and seen.at - since > plan.deadlines.unknown:
        return pause(state, seen, f"{reason}, for more than {plan.deadlines.unknown} s")
    return stay(state, f"holding: {reason}")


def _advance(plan: RolloutPlan, state: ReleaseState, seen: Observation, waiver: Intent | None) -> Decision:
    """The split is in effect and the world is known: may the stage be left?"""
    stage = plan.stages[state.step - 1]
    is_last = state.step == len(plan.stages)
    left = max(0.0, stage.hold_seconds - state.held(seen.at))
    certified = seen.verdict is VerdictKind.CERTIFIED
    hold_is_over = state.hold_waived or left <= 0 or (plan.early_promotion and certified)
    here = describe_stage(plan, state.step)
    if not hold_is_over:
        return stay(state, f"{here}, {left:.0f} s left", min(1.0, max(0.05, left)))
    if seen.verdict is VerdictKind.SHARED_INCIDENT:
        return stay(state, f"{here}; holding: {seen.verdict_summary}")
    if not state.hold_waived and not _is_good_enough(plan, seen, is_last):
        return _inconclusive(plan, state, seen, here)
    if stage.approval and not seen.gate.is_open:
        given = f"{seen.gate.given} of {seen.gate.required} approvals"
        return stay(state, f"{here}; hold is over, waits for approval: {given}")
    if waiver is not None:
        why = f"hold ended by {waiver.by}: {waiver.reason}"
    else:
        why = seen.verdict_summary or "hold is over"
    if is_last:
        return promote(state, seen, f"{why}; to 100 %")
    return enter_stage(plan, state, seen, state.step + 1, why)


def _is_good_enough(plan: RolloutPlan, seen: Observation, is_last: bool) -> bool:
    """Silence is never a pass, nor is a doubt; only the last stage needs the certificate."""
    if is_last and plan.promotion == "certified":
        return seen.verdict is VerdictKind.CERTIFIED
    if seen.verdict is VerdictKind.INCONCLUSIVE:
        return seen.nothing_speaks_against
    return seen.verdict is VerdictKind.CERTIFIED


def _inconclusive(plan: RolloutPlan, state: ReleaseState, seen: Observation, here: str) -> Decision:
    total = state.earlier_holds + state.held(seen.at)
    said = seen.verdict_summary or "not enough traffic to tell"
    holds = sum(stage.hold_seconds for stage in plan.stages)
    if total < max(plan.max_canary_seconds, holds):
        return stay(state, f"{here}; hold is over, not certain yet: {said}")
    reason = f"still inconclusive after {total:.0f} s: {said}"
    if plan.on_inconclusive == "rollback":
        return roll_back(state, seen.at, reason)
    return pause(state, seen, reason)


def paused(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    """Judged and repaired like a canary, but only a person moves it on."""
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    if seen.gate.rejection is not None:
        return roll_back(state, seen.at, seen.gate.rejection)
    intent = seen.intent
    if intent is not None:
        waived = intent.act is Act.PROMOTE
        verb = "hold ended" if waived else "resumed"
        reason = f"{verb} by {intent.by}: {intent.reason}".rstrip(": ")
        return move(
            state,
            Phase.CANARY,
            seen.at,
            reason,
            earlier_holds=-state.hold_elapsed,  # a person has looked: the time to certainty starts anew
            hold_waived=state.hold_waived or waived,
        )
    return stay(state, "")


def promoting(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    before, state = state, _clock(state, seen, seen.effect is Effect.UNKNOWN)
    meddled = _meddled(before, state, seen)
    if meddled is not None:
        return meddled
    if seen.effect is not Effect.IN_EFFECT:
        detail = f": {seen.effect_detail}" if seen.effect_detail else ""
        return stay(state, f"moving all traffic{detail}")
    left = plan.grace_seconds - state.held(seen.at)
    if seen.stable is None and left > 0:
        watched = f"first version here: watched for another {left:.0f} s, there is nothing to go back to"
        return stay(state, watched, min(1.0, left))
    return move(state, Phase.SUCCEEDED, seen.at, "100 % in effect; the candidate is stable now")


def rolling_back(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.effect is Effect.IN_EFFECT:
        where = "all traffic on stable" if seen.stable else "no version serves"
        return move(state, Phase.ROLLED_BACK, seen.at, f"{where}, confirmed by the gateway")
    detail = f": {seen.effect_detail}" if seen.effect_detail else ""
    return stay(state, f"moving all traffic back{detail}", 0.2)
