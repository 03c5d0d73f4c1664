"""The lives of releases that must go as told: one tick per line."""

import pytest

from releases.domain.plan import RolloutPlan, Step
from releases.domain.release import Act, Effect, Gate, Phase, Progress, Seen, TargetState, Work
from releases.domain.verdict import VerdictKind
from tests.domain.story import CERTIFIED, DOWN, HARM, INCONCLUSIVE, NO_DATA, READY, Story, two_steps


def test_release_default_plan_goes_to_100_when_certified() -> None:
    story = Story()
    assert story.tick(validation=Work(Progress.PENDING, "loads: running")) is Phase.VALIDATING
    assert story.reason == "loads: running"
    assert story.tick(validation=Work(Progress.PASSED, "9 checks passed")) is Phase.DEPLOYING
    assert story.tick(candidate=Seen(TargetState.STARTING, "loading")) is Phase.DEPLOYING
    assert story.tick(candidate=READY) is Phase.SMOKE_TESTING
    assert story.tick(smoke=Work()) is Phase.SMOKE_TESTING
    assert story.tick(smoke=Work(Progress.PASSED, "3 answers")) is Phase.CANARY
    assert (story.split, story.state.step) == ("90 / 10", 1)
    assert story.tick(effect=Effect.DIFFERENT, verdict=CERTIFIED) is Phase.CANARY
    assert story.reason == "step 1 of 1: 10 % for 300 s, not yet in effect"
    assert story.tick(effect=Effect.IN_EFFECT) is Phase.CANARY
    assert story.reason == "step 1 of 1: 10 % for 300 s, 300 s left"
    assert story.tick(299) is Phase.CANARY
    assert story.tick(1) is Phase.PROMOTING
    assert story.split == "0 / 100"
    assert story.tick(effect=Effect.DIFFERENT) is Phase.PROMOTING
    assert story.tick(effect=Effect.IN_EFFECT) is Phase.SUCCEEDED
    assert story.events[-1] == "100 % in effect; the candidate is stable now"


def test_release_not_certified_stays_in_the_last_step_until_it_is() -> None:
    story = Story(two_steps()).to_canary()
    assert story.tick(300, verdict=INCONCLUSIVE) is Phase.CANARY
    assert story.split == "50 / 50"
    assert story.tick() is Phase.CANARY
    assert story.tick(900) is Phase.CANARY
    assert story.reason.endswith("hold is over, not certain yet: not enough traffic to tell")
    assert story.tick(verdict=CERTIFIED) is Phase.PROMOTING


def test_release_no_harm_plan_needs_no_certificate() -> None:
    story = Story(two_steps(promotion="no_harm")).to_canary()
    assert story.tick(300, verdict=INCONCLUSIVE) is Phase.CANARY
    assert story.tick() is Phase.CANARY
    assert story.tick(600) is Phase.PROMOTING


def test_release_early_promotion_ends_the_hold_when_certified() -> None:
    story = Story(RolloutPlan(early_promotion=True)).to_canary()
    assert story.tick(20, verdict=INCONCLUSIVE) is Phase.CANARY
    assert story.tick(verdict=CERTIFIED) is Phase.PROMOTING


def test_release_too_long_inconclusive_waits_for_a_person_and_starts_anew() -> None:
    story = Story(RolloutPlan(max_canary_seconds=1_000)).to_canary()
    assert story.tick(999, verdict=NO_DATA) is Phase.CANARY
    assert story.tick(1) is Phase.PAUSED
    assert story.reason == "still inconclusive after 1000 s: not enough traffic to tell"
    assert story.tick(5_000) is Phase.PAUSED
    assert story.tick(act=Act.RESUME, why="traffic is back") is Phase.CANARY
    assert story.reason == "resumed by ada: traffic is back"
    assert story.tick(1) is Phase.CANARY
    assert story.tick(900) is Phase.CANARY
    assert story.tick(90, verdict=CERTIFIED) is Phase.PROMOTING


def test_release_too_long_inconclusive_rolls_back_when_the_plan_says_so() -> None:
    story = Story(RolloutPlan(max_canary_seconds=1_000, on_inconclusive="rollback")).to_canary()
    assert story.tick(1_000, verdict=INCONCLUSIVE) is Phase.ROLLING_BACK
    assert story.tick() is Phase.ROLLED_BACK


def test_release_is_not_given_up_before_its_own_holds_are_over() -> None:
    story = Story(two_steps(max_canary_seconds=0)).to_canary()
    assert story.tick(899, verdict=NO_DATA) is Phase.CANARY
    assert story.tick(1) is Phase.PAUSED


def test_release_doubt_holds_a_middle_step_until_it_is_gone() -> None:
    story = Story(two_steps()).to_canary()
    assert story.tick(301, verdict=INCONCLUSIVE, nothing_speaks_against=False) is Phase.CANARY
    assert story.split == "90 / 10"
    story.tick(nothing_speaks_against=True)
    assert story.split == "50 / 50"


def test_release_promote_ends_the_hold_of_this_stage_only() -> None:
    story = Story(two_steps()).to_canary()
    assert story.tick(10, act=Act.PROMOTE, why="looks fine") is Phase.CANARY
    assert story.split == "50 / 50"
    assert story.reason.startswith("hold ended by ada: looks fine")
    assert story.tick(30, verdict=CERTIFIED) is Phase.CANARY
    assert story.split == "50 / 50"
    assert story.tick(10, act=Act.PROMOTE, verdict=NO_DATA) is Phase.PROMOTING


def test_release_promote_while_metrics_are_away_waits_for_them() -> None:
    story = Story().to_canary()
    assert story.tick(10, act=Act.PROMOTE, verdict=VerdictKind.UNREACHABLE) is Phase.CANARY
    assert story.events[-1].startswith("promote by ada: said so; holding: the metric source")
    assert story.tick(verdict=INCONCLUSIVE) is Phase.PROMOTING


def test_release_approval_on_a_step_holds_it_and_harm_does_not_wait() -> None:
    plan = RolloutPlan(steps=(Step(10, 300, approval=True),))
    story = Story(plan).to_canary()
    closed = Gate(required=2, given=1)
    assert story.tick(301, verdict=CERTIFIED, gate=closed) is Phase.CANARY
    assert story.reason.endswith("waits for approval: 1 of 2 approvals")
    assert story.tick(act=Act.PROMOTE) is Phase.CANARY  # ends a hold, is no approval
    assert story.tick(gate=Gate(required=2, given=2)) is Phase.PROMOTING

    judged = Story(plan).to_canary()
    assert judged.tick(301, verdict=CERTIFIED, gate=closed) is Phase.CANARY
    assert judged.tick(verdict=HARM, verdict_summary="9 of 40 failed") is Phase.ROLLING_BACK
    assert judged.reason == "9 of 40 failed"

    refused = Story(plan).to_canary()
    assert refused.tick(gate=Gate(2, 1, rejection="rejected by ben: no")) is Phase.ROLLING_BACK


def test_release_approval_before_deployment_is_awaited_expires_and_can_be_refused() -> None:
    story = Story()
    story.world["gate"] = Gate(required=1, expires_at=story.at + 100)
    assert story.tick() is Phase.AWAITING_APPROVAL
    assert story.tick(90) is Phase.AWAITING_APPROVAL
    assert story.reason == "waits for approval: 0 of 1 given"
    assert story.decision.wake_in == 5.0
    assert story.tick(9) is Phase.CANCELLED
    assert story.events[-1] == "expired with 0 of 1 approvals"

    given = Story()
    assert given.tick(gate=Gate(required=1)) is Phase.AWAITING_APPROVAL
    assert given.tick(gate=Gate(required=1, given=1)) is Phase.DEPLOYING

    refused = Story()
    assert refused.tick(gate=Gate(required=1)) is Phase.AWAITING_APPROVAL
    assert refused.tick(gate=Gate(1, 0, rejection="rejected by ben: no")) is Phase.REJECTED


def test_release_shadow_first_is_mirrored_before_it_gets_traffic() -> None:
    story = Story(RolloutPlan(shadow_seconds=60)).to_canary()
    assert (story.split, story.state.step) == ("mirrored", 1)
    assert story.tick(60, verdict=NO_DATA) is Phase.CANARY
    assert story.split == "mirrored"
    assert story.tick(verdict=INCONCLUSIVE) is Phase.CANARY
    assert (story.split, story.state.step) == ("90 / 10", 2)


def test_release_without_steps_goes_straight_to_100() -> None:
    story = Story(RolloutPlan(steps=()))
    assert [story.tick() for _ in range(4)] == [
        Phase.DEPLOYING,
        Phase.SMOKE_TESTING,
        Phase.PROMOTING,
        Phase.SUCCEEDED,
    ]


def test_release_first_version_is_watched_for_the_grace_time() -> None:
    story = Story(two_steps(grace_seconds=60))
    story.tick(stable=None)
    story.tick()
    assert story.tick() is Phase.PROMOTING
    assert story.split == "0 / 100"
    assert story.tick() is Phase.PROMOTING
    assert story.reason.startswith("first version here: watched for another 60 s")
    assert story.tick(30, effect=Effect.DIFFERENT, effect_detail="no route") is Phase.PROMOTING
    assert story.events[-1] == "the split was changed from outside (no route); repairing it"
    assert story.tick(effect=Effect.IN_EFFECT) is Phase.PROMOTING
    assert story.tick(29) is Phase.PROMOTING
    assert story.tick(1) is Phase.SUCCEEDED

    harmful = Story(two_steps())
    harmful.tick(stable=None)
    assert [harmful.tick(), harmful.tick(), harmful.tick()][-1] is Phase.PROMOTING
    assert harmful.tick(verdict=HARM) is Phase.ROLLING_BACK
    assert harmful.tick() is Phase.ROLLED_BACK
    assert harmful.reason.startswith("no version serves")


def test_release_harm_while_paused_rolls_back() -> None:
    story = Story().to_canary()
    assert story.tick(act=Act.PAUSE, why="lunch") is Phase.PAUSED
    assert story.split == "90 / 10"
    assert story.tick(600, verdict=HARM) is Phase.ROLLING_BACK
    assert story.split == "100 / 0"


def test_release_harm_while_stable_is_down_calls_a_person_and_rolls_back_when_it_is_up() -> None:
    story = Story().to_canary()
    assert story.tick(verdict=HARM, stable=DOWN) is Phase.PAUSED
    assert "stable does not serve (connection refused)" in story.reason
    assert story.tick() is Phase.PAUSED
    assert story.tick(act=Act.RESUME) is Phase.PAUSED
    assert story.tick(stable=READY) is Phase.ROLLING_BACK


def test_release_harm_with_both_down_goes_back() -> None:
    story = Story().to_canary()
    assert story.tick(verdict=HARM, stable=DOWN, candidate=DOWN) is Phase.ROLLING_BACK


def test_release_unknown_holds_does_not_count_and_pauses_when_it_lasts() -> None:
    story = Story().to_canary()
    assert story.tick(100, verdict=CERTIFIED) is Phase.CANARY
    assert story.tick(1, effect=Effect.UNKNOWN, effect_detail="connection refused") is Phase.CANARY
    assert story.reason == "holding: the gateway cannot be read: connection refused"
    assert story.tick(890) is Phase.CANARY
    assert story.tick(5, effect=Effect.IN_EFFECT) is Phase.CANARY
    assert story.reason == "step 1 of 1: 10 % for 300 s, 199 s left"
    assert story.tick(1, verdict=VerdictKind.UNREACHABLE) is Phase.CANARY
    assert story.tick(901) is Phase.PAUSED
    assert story.reason == "the metric source cannot be reached, for more than 900 s"
    assert story.split == "90 / 10"
    assert story.state.held(story.at) == 102


def test_release_drift_is_an_event_and_stops_the_clock() -> None:
    story = Story().to_canary()
    assert story.tick(100) is Phase.CANARY
    before = len(story.events)
    assert story.tick(10, effect=Effect.DIFFERENT, effect_detail="50 / 50") is Phase.CANARY
    assert story.events[before:] == ["the split was changed from outside (50 / 50); repairing it"]
    assert story.tick(50) is Phase.CANARY
    assert len(story.events) == before + 1
    assert story.tick(effect=Effect.IN_EFFECT) is Phase.CANARY
    assert story.reason.endswith(", 190 s left")


def test_release_drift_while_metrics_are_away_is_an_event_too() -> None:
    story = Story().to_canary()
    story.tick(10, verdict=VerdictKind.UNREACHABLE, effect=Effect.DIFFERENT, effect_detail="0 / 100")
    assert story.events[-1] == "the split was changed from outside (0 / 100); repairing it"
    assert story.tick() is Phase.CANARY
    assert story.reason == "holding: the metric source cannot be reached"


def test_release_shared_incident_holds_the_step() -> None:
    story = Story().to_canary()
    said = "both arms fail"
    assert story.tick(300, verdict=VerdictKind.SHARED_INCIDENT, verdict_summary=said) is Phase.CANARY
    assert story.reason == "step 1 of 1: 10 % for 300 s; holding: both arms fail"
    assert story.tick(verdict=CERTIFIED) is Phase.PROMOTING


ABORTS = [
    (Phase.VALIDATING, Phase.CANCELLED),
    (Phase.AWAITING_APPROVAL, Phase.CANCELLED),
    (Phase.DEPLOYING, Phase.CANCELLED),
    (Phase.SMOKE_TESTING, Phase.CANCELLED),
    (Phase.CANARY, Phase.ROLLING_BACK),
    (Phase.PAUSED, Phase.ROLLING_BACK),
    (Phase.PROMOTING, Phase.ROLLING_BACK),
]


@pytest.mark.parametrize(("phase", "end"), ABORTS)
def test_release_abort_ends_it_in_every_phase(phase: Phase, end: Phase) -> None:
    story = Story()
    story.tick(gate=Gate(required=1), validation=Work())
    path = [phase for phase, _ in ABORTS]
    for reached in path[1 : path.index(phase) + 1]:
        act = Act.PAUSE if reached is Phase.PAUSED else Act.PROMOTE if reached is Phase.PROMOTING else None
        if reached is Phase.DEPLOYING:
            story.world["gate"] = Gate(required=1, given=1)
        story.tick(act=act, validation=Work(Progress.PASSED, "fine"))
        if reached is Phase.PROMOTING:  # the promote act leaves the pause first
            story.tick()
    assert story.state.phase is phase
    assert story.tick(act=Act.ABORT, why="wrong version") is end
    assert story.events[-1] == "aborted by ada: wrong version"
    assert story.split == "100 / 0"


@pytest.mark.parametrize(
    ("world", "phase", "reason"),
    [
        (
            {"validation": Work(Progress.FAILED, "signature: lost column x")},
            Phase.REJECTED,
            "signature: lost",
        ),
        ({"validation": Work()}, Phase.REJECTED, "validation did not end within 1800 s"),
        ({"candidate": DOWN}, Phase.ROLLING_BACK, "the deployment failed: connection refused"),
        ({"candidate": Seen(TargetState.STARTING)}, Phase.ROLLING_BACK, "not ready within 600 s"),
        ({"candidate": Seen()}, Phase.ROLLING_BACK, "not ready within 600 s"),
        ({"smoke": Work(Progress.FAILED, "status 500")}, Phase.ROLLING_BACK, "smoke test failed: status 500"),
        ({"smoke": Work()}, Phase.ROLLING_BACK, "smoke test failed: no answer through the gateway"),
    ],
)
def test_release_what_fails_before_traffic_ends_it(world: dict, phase: Phase, reason: str) -> None:
    story = Story()
    story.world |= world
    ended = False
    for _ in range(5):
        if not ended:
            ended = story.tick(1_801 if story.state.phase.value in _waits(world) else 1) is phase
    assert story.state.phase is phase
    assert story.events[-1].startswith(reason)
    assert story.split == "100 / 0"


def _waits(world: dict) -> set[str]:
    """The phases in which this world makes a release wait."""
    names = {"validation": "validating", "candidate": "deploying", "smoke": "smoke_testing"}
    return {names[name] for name in world}


def test_release_impossible_act_is_answered_and_delays_no_rollback() -> None:
    story = Story().to_canary()
    assert story.tick(act=Act.RESUME) is Phase.CANARY
    assert story.events[-1].startswith("resume by ada is not possible while canary; step 1 of 1")
    assert story.tick(act=Act.RESUME, verdict=HARM, verdict_summary="9 of 9 failed") is Phase.ROLLING_BACK
    assert story.events[-1] == "resume by ada is not possible while canary; 9 of 9 failed"
    assert story.tick(act=Act.ABORT, effect=Effect.UNKNOWN) is Phase.ROLLING_BACK
    assert story.decision.intent_is_done
