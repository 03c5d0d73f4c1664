"""What `decide` promises for every state and every observation."""

import math

from hypothesis import example, given

from releases.domain.plan import RolloutPlan
from releases.domain.release import (
    BEFORE_TRAFFIC,
    JUDGED,
    TERMINAL,
    Act,
    Decision,
    Effect,
    Observation,
    Phase,
    ReleaseState,
    Seen,
    TargetState,
    decide,
    start,
)
from releases.domain.verdict import VerdictKind
from tests.domain.strategies import NOW, situations, walks

Situation = tuple[RolloutPlan, ReleaseState, Observation]
Walk = tuple[RolloutPlan, list[Observation]]


def steps_of(walk: Walk) -> list[tuple[ReleaseState, Observation, Decision]]:
    """The states that a walk goes through, from the start of a release."""
    plan, observations = walk
    state, steps = start(NOW), []
    for seen in observations:
        decision = decide(plan, state, seen)
        steps.append((state, seen, decision))
        state = decision.state
    return steps


@given(situations())
def test_decide_any_situation_gives_the_same_answer_twice(situation: Situation) -> None:
    first = decide(*situation)
    assert isinstance(first, Decision)
    assert decide(*situation) == first


@given(situations())
def test_decide_any_situation_splits_as_the_plan_says(situation: Situation) -> None:
    plan, _, _ = situation
    after = decide(*situation).state
    assert after.split.candidate in {0, 100, *(step.weight for step in plan.steps)}
    if after.phase in (Phase.CANARY, Phase.PAUSED):
        assert after.split == plan.stages[after.step - 1].split
    if after.phase in BEFORE_TRAFFIC | {Phase.ROLLING_BACK, Phase.ROLLED_BACK}:
        assert after.split.candidate == 0
    if after.phase in (Phase.PROMOTING, Phase.SUCCEEDED):
        assert after.split.candidate == 100


@given(situations())
def test_decide_any_situation_skips_no_stage(situation: Situation) -> None:
    plan, before, seen = situation
    after = decide(*situation).state
    assert after.step in (before.step, before.step + 1)
    if after.phase is Phase.PROMOTING and before.phase in (Phase.CANARY, Phase.PAUSED):
        assert before.step == len(plan.stages)
    if after.phase is Phase.PROMOTING and before.phase is Phase.SMOKE_TESTING:
        assert seen.stable is None or not plan.stages


@given(situations())
def test_decide_any_situation_keeps_terminal_states_and_wakes_the_others(situation: Situation) -> None:
    _, before, _ = situation
    decision = decide(*situation)
    if before.phase in TERMINAL:
        assert (decision.state, decision.is_event) == (before, False)
    if decision.state.phase in TERMINAL:
        assert decision.wake_in is None
    else:
        assert decision.wake_in is not None
        assert math.isfinite(decision.wake_in)
        assert 0.0 <= decision.wake_in <= 5.0


@given(situations())
def test_decide_any_situation_gives_each_event_a_reason(situation: Situation) -> None:
    _, before, seen = situation
    decision = decide(*situation)
    if decision.state.phase is not before.phase or decision.state.split != before.split:
        assert decision.is_event
    if decision.is_event:
        assert decision.reason.strip()
    assert decision.intent_is_done == (seen.intent is not None or before.phase in TERMINAL)


@given(situations())
def test_decide_harm_never_gives_the_candidate_more(situation: Situation) -> None:
    _, before, seen = situation
    after = decide(*situation).state
    if seen.verdict is not VerdictKind.HARM or before.phase not in JUDGED:
        return
    assert after.split.candidate <= before.split.candidate
    assert after.phase is not Phase.SUCCEEDED
    down = (TargetState.FAILED, TargetState.ABSENT, TargetState.STARTING)
    stable_is_down = seen.stable is not None and seen.stable.health in down
    is_aborted = seen.intent is not None and seen.intent.act is Act.ABORT
    if is_aborted or not (stable_is_down and seen.candidate.health is TargetState.READY):
        assert after.phase is Phase.ROLLING_BACK
    else:
        assert after.phase in (Phase.PAUSED, Phase.PROMOTING)


@given(situations())
def test_decide_unknown_never_moves_traffic_to_the_candidate(situation: Situation) -> None:
    _, before, seen = situation
    after = decide(*situation).state
    is_unknown = seen.effect is Effect.UNKNOWN or seen.verdict is VerdictKind.UNREACHABLE
    if is_unknown and before.phase in (Phase.CANARY, Phase.PAUSED):
        assert after.step == before.step
        assert after.split.candidate <= before.split.candidate
        assert after.phase in (Phase.CANARY, Phase.PAUSED, Phase.ROLLING_BACK)
    if seen.effect is not Effect.IN_EFFECT:
        assert after.phase not in {Phase.SUCCEEDED, Phase.ROLLED_BACK} - {before.phase}


@given(situations())
def test_decide_silence_or_doubt_moves_on_only_when_a_person_did(situation: Situation) -> None:
    plan, before, seen = situation
    if before.phase not in (Phase.CANARY, Phase.PAUSED):
        return
    after = decide(*situation).state
    a_person_did = before.hold_waived or (seen.intent is not None and seen.intent.act is Act.PROMOTE)
    moved_on = after.step > before.step or after.phase is Phase.PROMOTING
    if moved_on and not a_person_did:
        assert seen.verdict in (VerdictKind.CERTIFIED, VerdictKind.INCONCLUSIVE)
        if seen.verdict is VerdictKind.INCONCLUSIVE:
            assert seen.nothing_speaks_against
        if after.phase is Phase.PROMOTING and plan.promotion == "certified":
            assert seen.verdict is VerdictKind.CERTIFIED


@given(situations())
def test_decide_closed_gate_keeps_a_release_where_it_is(situation: Situation) -> None:
    plan, before, seen = situation
    after = decide(*situation).state
    if seen.gate.is_open:
        return
    if before.phase is Phase.AWAITING_APPROVAL:
        assert after.phase in (Phase.AWAITING_APPROVAL, Phase.REJECTED, Phase.CANCELLED)
    if before.phase is Phase.CANARY and plan.stages[before.step - 1].approval:
        assert after.step == before.step
        assert after.phase is not Phase.PROMOTING


@given(situations())
def test_decide_abort_ends_every_release_that_is_not_ending(situation: Situation) -> None:
    _, before, seen = situation
    if seen.intent is None or seen.intent.act is not Act.ABORT:
        return
    after = decide(*situation).state
    if before.phase in BEFORE_TRAFFIC:
        assert after.phase is Phase.CANCELLED
    elif before.phase in JUDGED:
        assert after.phase is Phase.ROLLING_BACK


@given(walks())
def test_decide_any_walk_pauses_without_touching_the_split(walk: Walk) -> None:
    for before, _, decision in steps_of(walk):
        if decision.state.phase is Phase.PAUSED:
            assert decision.state.split == before.split
            assert decision.state.step == before.step


@given(walks())
def test_hold_clock_any_walk_only_rises_within_a_stage_and_only_in_effect(walk: Walk) -> None:
    for before, seen, decision in steps_of(walk):
        after = decision.state
        same_stage = after.step == before.step and after.phase in (Phase.CANARY, Phase.PAUSED)
        if not same_stage or before.phase not in (Phase.CANARY, Phase.PAUSED):
            continue
        held = after.held(seen.at)
        assert 0.0 <= before.held(before.since) <= held
        if before.phase is Phase.PAUSED or before.hold_since is None:
            assert held == before.hold_elapsed
        later = after.held(seen.at + 100)
        runs = after.phase is Phase.CANARY and seen.effect is Effect.IN_EFFECT
        runs = runs and seen.verdict is not VerdictKind.UNREACHABLE
        runs = runs and seen.candidate.health is TargetState.READY
        assert later == (held + 100 if runs else held)


@given(walks())
@example((RolloutPlan(), []))
def test_decide_any_walk_counts_the_time_to_certainty_from_zero(walk: Walk) -> None:
    for _, seen, decision in steps_of(walk):
        assert decision.state.earlier_holds + decision.state.held(seen.at) >= 0.0


@given(walks())
def test_decide_any_walk_repeated_pass_changes_nothing_more(walk: Walk) -> None:
    """Two workers that see the same world at the same moment end in the same state."""
    plan, _ = walk
    for before, seen, decision in steps_of(walk):
        if decision.state.phase is before.phase and decision.state.step == before.step:
            calm = Observation(**{**_fields(seen), "intent": None})
            assert decide(plan, decision.state, calm).state == decision.state


def _fields(seen: Observation) -> dict[str, object]:
    return {name: getattr(seen, name) for name in Observation.__dataclass_fields__}


def test_decide_stable_absent_and_harm_rolls_back_to_nothing() -> None:
    """A first release has no stable that could be down."""
    state = ReleaseState(Phase.PROMOTING, NOW, 0)
    seen = Observation(NOW, candidate=Seen(TargetState.READY), verdict=VerdictKind.HARM)
    assert decide(RolloutPlan(), state, seen).state.phase is Phase.ROLLING_BACK
