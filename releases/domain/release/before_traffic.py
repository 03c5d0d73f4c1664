"""Decisions while no request of a caller has reached the candidate."""

from releases.domain.plan import RolloutPlan
from releases.domain.release.moves import enter_stage, is_late, move, promote, roll_back, stay
from releases.domain.release.observation import Observation, Progress, TargetState
from releases.domain.release.phases import Phase
from releases.domain.release.state import Decision, ReleaseState


def validating(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.validation.progress is Progress.FAILED:
        return move(state, Phase.REJECTED, seen.at, seen.validation.reason or "validation failed")
    if seen.validation.progress is Progress.PASSED:
        passed = seen.validation.reason or "validation passed"
        if seen.gate.required == 0:
            return move(state, Phase.DEPLOYING, seen.at, f"{passed}; no approval needed")
        return move(state, Phase.AWAITING_APPROVAL, seen.at, passed)
    if is_late(state, seen, plan.deadlines.validating):
        late = f"validation did not end within {plan.deadlines.validating} s"
        return move(state, Phase.REJECTED, seen.at, late)
    return stay(state, seen.validation.reason or "validation is running", 2.0)


def awaiting_approval(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    gate = seen.gate
    if gate.rejection is not None:
        return move(state, Phase.REJECTED, seen.at, gate.rejection)
    if gate.expires_at is not None and seen.at >= gate.expires_at:
        late = f"expired with {gate.given} of {gate.required} approvals"
        return move(state, Phase.CANCELLED, seen.at, late)
    if gate.is_open:
        return move(state, Phase.DEPLOYING, seen.at, f"{gate.given} of {gate.required} approvals given")
    wake_in = 5.0 if gate.expires_at is None else min(5.0, max(0.1, gate.expires_at - seen.at))
    return stay(state, f"waits for approval: {gate.given} of {gate.required} given", wake_in)


def deploying(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.candidate.health is TargetState.READY:
        return move(state, Phase.SMOKE_TESTING, seen.at, f"deployment ready: {seen.candidate.detail}")
    if seen.candidate.health is TargetState.FAILED:
        return roll_back(state, seen.at, f"the deployment failed: {seen.candidate.detail}")
    if is_late(state, seen, plan.deadlines.deploying):
        late = f"not ready within {plan.deadlines.deploying} s: {seen.candidate.detail}"
        return roll_back(state, seen.at, late)
    if seen.candidate.health is TargetState.UNKNOWN:
        return stay(state, f"the serving target cannot be reached: {seen.candidate.detail}")
    return stay(state, f"deploying: {seen.candidate.detail or seen.candidate.health}")


def smoke_testing(plan: RolloutPlan, state: ReleaseState, seen: Observation) -> Decision:
    if seen.smoke.progress is Progress.FAILED:
        return roll_back(state, seen.at, f"smoke test failed: {seen.smoke.reason}")
    if seen.smoke.progress is Progress.PASSED:
        passed = f"smoke test passed: {seen.smoke.reason}"
        if seen.stable is None or not plan.stages:
            return promote(state, seen, f"{passed}; straight to 100 %")
        return enter_stage(plan, state, seen, 1, passed)
    if is_late(state, seen, plan.deadlines.smoke_testing):
        late = f"no answer through the gateway within {plan.deadlines.smoke_testing} s"
        return roll_back(state, seen.at, f"smoke test failed: {late}. {seen.smoke.reason}".rstrip())
    return stay(state, seen.smoke.reason or "smoke test is running")
