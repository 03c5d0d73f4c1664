"""The state machine of a release: states, what can be seen, and `decide`.

Pure: no clock, no Django, no vendor. `decide` is total and deterministic; the reconciler calls it with what
it has seen and does what the returned state says. Invariants (checked with Hypothesis):

* the split is the weight of one of the plan's stages, 0 or 100;
* no stage is skipped, save that a person may end a hold early;
* no path leads from a verdict of harm to a larger split;
* a terminal phase is never left; every other phase has a wake-up.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from releases.domain.plan import RolloutPlan, Stage, TrafficSplit
from releases.domain.verdict import VerdictKind


class Phase(StrEnum):
    """Where a release is."""

    VALIDATING = "validating"
    AWAITING_APPROVAL = "awaiting_approval"
    DEPLOYING = "deploying"
    SMOKE_TESTING = "smoke_testing"
    CANARY = "canary"
    PAUSED = "paused"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED})
ACTIVE = frozenset(Phase) - TERMINAL
# No request of a caller has reached the candidate yet.
BEFORE_TRAFFIC = frozenset({Phase.VALIDATING, Phase.AWAITING_APPROVAL, Phase.DEPLOYING, Phase.SMOKE_TESTING})
# The judge looks at these.
JUDGED = frozenset({Phase.CANARY, Phase.PAUSED, Phase.PROMOTING})
# The candidate has to be running.
DEPLOYED = JUDGED | {Phase.DEPLOYING, Phase.SMOKE_TESTING}


class Act(StrEnum):
    """What a person may ask of a running release."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


_POSSIBLE: dict[Act, frozenset[Phase]] = {
    Act.PAUSE: frozenset({Phase.CANARY}),
    Act.RESUME: frozenset({Phase.PAUSED}),
    Act.PROMOTE: frozenset({Phase.CANARY, Phase.PAUSED}),
    Act.ABORT: BEFORE_TRAFFIC | JUDGED,
}


def is_possible(act: Act, phase: Phase) -> bool:
    """Whether an act means anything in a phase."""
    return phase in _POSSIBLE[act]


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


def decide(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    """What follows from what is seen. Never raises; the same input gives the same answer."""
    if state.phase in TERMINAL:
        return Decision(state, "", wake_in=None, intent_is_done=True)
    intent = seen.intent
    if intent is not None and not is_possible(intent.act, state.phase):
        return _refuse(plan, state, seen, intent)
    if intent is not None and intent.act is Act.ABORT:
        return replace(_abort(state, seen, intent), intent_is_done=True)
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


# ---- moving --------------------------------------------------------------------------------------
def _move(state: ReleaseState, phase: Phase, at: float, reason: str, **changes: object) -> Decision:
    moved = replace(state, phase=phase, since=at, unknown_since=None, **changes)  # type: ignore[arg-type]
    return Decision(moved, reason, is_event=True, wake_in=None if phase in TERMINAL else 0.0)


def _stay(state: ReleaseState, reason: str, wake_in: float = 1.0) -> Decision:
    return Decision(state, reason, wake_in=wake_in)


def _roll_back(state: ReleaseState, at: float, reason: str) -> Decision:
    """All traffic to stable, now."""
    return _move(state, Phase.ROLLING_BACK, at, reason, split=TrafficSplit(0), hold_since=None)


def _abort(state: ReleaseState, seen: Observation, intent: Intent) -> Decision:
    reason = f"aborted by {intent.by}: {intent.reason}"
    if state.phase in BEFORE_TRAFFIC:
        return _move(state, Phase.CANCELLED, seen.at, reason, split=TrafficSplit(0))
    return _roll_back(state, seen.at, reason)


def _is_late(state: ReleaseState, seen: Observation, deadline: float) -> bool:
    return seen.at - state.since > deadline


# ---- before traffic ------------------------------------------------------------------------------
def _validating(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.validation.progress is Progress.FAILED:
        return _move(state, Phase.REJECTED, seen.at, seen.validation.reason or "validation failed")
    if seen.validation.progress is Progress.PASSED:
        passed = seen.validation.reason or "validation passed"
        if seen.gate.required == 0:
            return _move(state, Phase.DEPLOYING, seen.at, f"{passed}; no approval needed")
        return _move(state, Phase.AWAITING_APPROVAL, seen.at, passed)
    if _is_late(state, seen, plan.deadlines.validating):
        late = f"validation did not end within {plan.deadlines.validating} s"
        return _move(state, Phase.REJECTED, seen.at, late)
    return _stay(state, seen.validation.reason or "validation is running", 2.0)


def _awaiting_approval(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    gate = seen.gate
    if gate.rejection is not None:
        return _move(state, Phase.REJECTED, seen.at, gate.rejection)
    if gate.expires_at is not None and seen.at >= gate.expires_at:
        late = f"expired with {gate.given} of {gate.required} approvals"
        return _move(state, Phase.CANCELLED, seen.at, late)
    if gate.is_open:
        return _move(state, Phase.DEPLOYING, seen.at, f"{gate.given} of {gate.required} approvals given")
    wake_in = 5.0 if gate.expires_at is None else min(5.0, max(0.1, gate.expires_at - seen.at))
    return _stay(state, f"waits for approval: {gate.given} of {gate.required} given", wake_in)


def _deploying(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.candidate.health is TargetState.READY:
        return _move(state, Phase.SMOKE_TESTING, seen.at, f"deployment ready: {seen.candidate.detail}")
    if seen.candidate.health is TargetState.FAILED:
        return _roll_back(state, seen.at, f"the deployment failed: {seen.candidate.detail}")
    if _is_late(state, seen, plan.deadlines.deploying):
        late = f"not ready within {plan.deadlines.deploying} s: {seen.candidate.detail}"
        return _roll_back(state, seen.at, late)
    if seen.candidate.health is TargetState.UNKNOWN:
        return _stay(state, f"the serving target cannot be reached: {seen.candidate.detail}")
    return _stay(state, f"deploying: {seen.candidate.detail or seen.candidate.health}")


def _smoke_testing(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.smoke.progress is Progress.FAILED:
        return _roll_back(state, seen.at, f"smoke test failed: {seen.smoke.reason}")
    if seen.smoke.progress is Progress.PASSED:
        passed = f"smoke test passed: {seen.smoke.reason}"
        if seen.stable is None or not plan.stages:
            return _promote(state, seen, f"{passed}; straight to 100 %")
        return _enter_stage(plan, state, seen, 1, passed)
    if _is_late(state, seen, plan.deadlines.smoke_testing):
        late = f"no answer through the gateway within {plan.deadlines.smoke_testing} s"
        return _roll_back(state, seen.at, f"smoke test failed: {late}. {seen.smoke.reason}".rstrip())
    return _stay(state, seen.smoke.reason or "smoke test is running")


# ---- with traffic --------------------------------------------------------------------------------
def _enter_stage(plan: RolloutPlan, state: ReleaseState, seen: Observation, step: int, why: str) -> Decision:
    stage = plan.stages[step - 1]
    reason = f"{why}; {describe_stage(plan, step)}"
    return _move(
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


def _promote(state: ReleaseState, seen: Observation, reason: str) -> Decision:
    return _move(
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
            return _stay(state, reason)
        return _pause(state, seen, reason)
    return _roll_back(state, seen.at, seen.verdict_summary or "the evidence of harm reached its limit")


def _pause(state: ReleaseState, seen: Observation, reason: str) -> Decision:
    """Keep the split, stop the hold clock."""
    return _move(state, Phase.PAUSED, seen.at, reason, hold_since=None, hold_elapsed=state.held(seen.at))


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
    return None


def _canary(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    if seen.gate.rejection is not None:
        return _roll_back(state, seen.at, seen.gate.rejection)
    intent = seen.intent
    if intent is not None and intent.act is Act.PAUSE:
        return _pause(state, seen, f"paused by {intent.by}: {intent.reason}")
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
        return _stay(clocked, f"{describe_stage(plan, state.step)}, not yet in effect")
    return _advance(plan, clocked, seen, intent if waived_now else None)


def _hold_unknown(plan: RolloutPlan, state: ReleaseState, seen: Observation, reason: str) -> Decision:
    since = state.unknown_since
    if since is not None and seen.at - since > plan.deadlines.unknown:
        return _pause(state, seen, f"{reason}, for more than {plan.deadlines.unknown} s")
    return _stay(state, f"holding: {reason}")


def _advance(plan: RolloutPlan, state: ReleaseState, seen: Observation, waiver: Intent | None) -> Decision:
    """The split is in effect and the world is known: may the stage be left?"""
    stage = plan.stages[state.step - 1]
    is_last = state.step == len(plan.stages)
    left = max(0.0, stage.hold_seconds - state.held(seen.at))
    certified = seen.verdict is VerdictKind.CERTIFIED
    hold_is_over = state.hold_waived or left <= 0 or (plan.early_promotion and certified)
    here = describe_stage(plan, state.step)
    if not hold_is_over:
        return _stay(state, f"{here}, {left:.0f} s left", min(1.0, max(0.05, left)))
    if seen.verdict is VerdictKind.SHARED_INCIDENT:
        return _stay(state, f"{here}; holding: {seen.verdict_summary}")
    if not state.hold_waived and not _is_good_enough(plan, seen, is_last):
        return _inconclusive(plan, state, seen, here)
    if stage.approval and not seen.gate.is_open:
        given = f"{seen.gate.given} of {seen.gate.required} approvals"
        return _stay(state, f"{here}; hold is over, waits for approval: {given}")
    if waiver is not None:
        why = f"hold ended by {waiver.by}: {waiver.reason}"
    else:
        why = seen.verdict_summary or "hold is over"
    if is_last:
        return _promote(state, seen, f"{why}; to 100 %")
    return _enter_stage(plan, state, seen, state.step + 1, why)


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
        return _stay(state, f"{here}; hold is over, not certain yet: {said}")
    reason = f"still inconclusive after {total:.0f} s: {said}"
    if plan.on_inconclusive == "rollback":
        return _roll_back(state, seen.at, reason)
    return _pause(state, seen, reason)


def _paused(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    """Judged and repaired like a canary, but only a person moves it on."""
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    if seen.gate.rejection is not None:
        return _roll_back(state, seen.at, seen.gate.rejection)
    intent = seen.intent
    if intent is not None:
        waived = intent.act is Act.PROMOTE
        verb = "hold ended" if waived else "resumed"
        reason = f"{verb} by {intent.by}: {intent.reason}".rstrip(": ")
        return _move(
            state,
            Phase.CANARY,
            seen.at,
            reason,
            earlier_holds=-state.hold_elapsed,  # a person has looked: the time to certainty starts anew
            hold_waived=state.hold_waived or waived,
        )
    return _stay(state, "")


def _promoting(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    harm = _harm(state, seen)
    if harm is not None:
        return harm
    before, state = state, _clock(state, seen, seen.effect is Effect.UNKNOWN)
    meddled = _meddled(before, state, seen)
    if meddled is not None:
        return meddled
    if seen.effect is not Effect.IN_EFFECT:
        detail = f": {seen.effect_detail}" if seen.effect_detail else ""
        return _stay(state, f"moving all traffic{detail}")
    left = plan.grace_seconds - state.held(seen.at)
    if seen.stable is None and left > 0:
        watched = f"first version here: watched for another {left:.0f} s, there is nothing to go back to"
        return _stay(state, watched, min(1.0, left))
    return _move(state, Phase.SUCCEEDED, seen.at, "100 % in effect; the candidate is stable now")


def _rolling_back(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.effect is Effect.IN_EFFECT:
        where = "all traffic on stable" if seen.stable else "no version serves"
        return _move(state, Phase.ROLLED_BACK, seen.at, f"{where}, confirmed by the gateway")
    detail = f": {seen.effect_detail}" if seen.effect_detail else ""
    return _stay(state, f"moving all traffic back{detail}", 0.2)


_PHASES = {
    Phase.VALIDATING: _validating,
    Phase.AWAITING_APPROVAL: _awaiting_approval,
    Phase.DEPLOYING: _deploying,
    Phase.SMOKE_TESTING: _smoke_testing,
    Phase.CANARY: _canary,
    Phase.PAUSED: _paused,
    Phase.PROMOTING: _promoting,
    Phase.ROLLING_BACK: _rolling_back,
}


def gate_of(plan: RolloutPlan, state: ReleaseState) -> int:
    """Which gate approvals count for now: 0 before deployment, k for leaving stage k."""
    return state.step if state.phase in (Phase.CANARY, Phase.PAUSED) else 0


def stage_of(plan: RolloutPlan, state: ReleaseState) -> Stage | None:
    """The stage a release stands in; None outside the canary."""
    return plan.stages[state.step - 1] if 1 <= state.step <= len(plan.stages) else None
