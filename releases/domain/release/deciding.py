"""`decide`: the door to the state machine. Refuses what is impossible, then asks the phase."""

from dataclasses import replace

from releases.domain.plan import RolloutPlan
from releases.domain.release.before_traffic import awaiting_approval, deploying, smoke_testing, validating
from releases.domain.release.moves import abort
from releases.domain.release.observation import Intent, Observation
from releases.domain.release.phases import TERMINAL, Act, Phase, is_possible
from releases.domain.release.state import Decision, ReleaseState
from releases.domain.release.with_traffic import canary, paused, promoting, rolling_back

_PHASES = {
    Phase.VALIDATING: validating,
    Phase.AWAITING_APPROVAL: awaiting_approval,
    Phase.DEPLOYING: deploying,
    Phase.SMOKE_TESTING: smoke_testing,
    Phase.CANARY: canary,
    Phase.PAUSED: paused,
    Phase.PROMOTING: promoting,
    Phase.ROLLING_BACK: rolling_back,
}


def decide(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    """What follows from what is seen. Never raises; the same input gives the same answer."""
    if state.phase in TERMINAL:
        return Decision(state, "", wake_in=None, intent_is_done=True)
    intent = seen.intent
    if intent is not None and not is_possible(intent.act, state.phase):
        return _refuse(plan, state, seen, intent)
    if intent is not None and intent.act is Act.ABORT:
        return replace(abort(state, seen, intent), intent_is_done=True)
    decision = _PHASES[state.phase](plan, state, seen)
    if intent is None:
        return decision
    if not decision.is_event:  # what a person did is always worth a line
        said = f"{intent.act} by {intent.by}: {intent.reason}; {decision.reason}"
        decision = replace(decision, reason=said, is_event=True)
    return replace(decision, intent_is_done=True)


def _refuse(plan: RolloutPlan, state: ReleaseState, seen: Observation, intent: Intent) -> Decision:
    """An act that came too late or too early must not delay what is due, a rollback least of all."""
    decision = decide(plan, state, replace(seen, intent=None))
    said = f"{intent.act} by {intent.by} is not possible while {state.phase}"
    reason = f"{said}; {decision.reason}" if decision.reason else said
    return replace(decision, reason=reason, is_event=True, intent_is_done=True)
