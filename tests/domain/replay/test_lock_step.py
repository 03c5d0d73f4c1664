"""Replays: each kind of ending, the first decision wins, and batches say what single replays say."""

from typing import Any

import pytest

from releases.domain import judge
from releases.domain.judge import ArmFreshness, Freshness, JudgeRules, Reading
from releases.domain.replay import Ending, LockStep, Recorded, follow, read_recording, replay
from releases.domain.verdict import VerdictKind
from tests.domain.replay.recordings import arm, line, steady

RULES = JudgeRules()


def read(lines: list[str]) -> list[Recorded]:
    return list(read_recording(lines))


def end(lines: list[str], rules: JudgeRules = RULES) -> Ending:
    (ending,) = replay([rules], [read(lines)])
    assert ending is not None
    return ending


def lines(seconds: int, stable: Any, candidate: Any, since: int = 0) -> list[str]:
    return [line(t, stable, candidate) for t in range(since + 1, since + seconds + 1)]


@pytest.mark.parametrize(
    ("recording", "kind"),
    [
        (lines(60, arm(90), arm(10, 5)), VerdictKind.HARM),
        (lines(600, arm(90), arm(10)), VerdictKind.CERTIFIED),
        (lines(5, arm(90), arm(10)), VerdictKind.INCONCLUSIVE),
        (lines(60, arm(90, 30), arm(10, 3)), VerdictKind.SHARED_INCIDENT),
        (lines(60, arm(90), arm(0)), VerdictKind.NO_DATA),
        (lines(60, arm(90), None), VerdictKind.UNREACHABLE),
        (lines(60, None, arm(10)), VerdictKind.UNREACHABLE),
    ],
)
def test_replay_ends_with_each_kind(recording: list[str], kind: VerdictKind) -> None:
    ending = end(recording)
    assert ending.verdict.kind is kind
    assert (ending.at is None) is (kind not in (VerdictKind.HARM, VerdictKind.CERTIFIED))


def test_replay_first_decision_wins() -> None:
    good, bad = lines(600, arm(90), arm(10)), lines(600, arm(90), arm(10, 9), since=600)
    ending = end([*good, *bad])
    assert ending.verdict.kind is VerdictKind.CERTIFIED
    assert ending.at is not None
    assert ending.at < 600
    assert ending.samples == ending.at

    harmed = end([*lines(5, arm(90), arm(10, 9)), *lines(600, arm(90), arm(10), since=5)])
    assert harmed.verdict.kind is VerdictKind.HARM
    assert (harmed.at, harmed.samples) == (harmed.samples, harmed.samples)
    assert harmed.samples <= 5


def test_replay_counts_at_from_the_recording_own_clock() -> None:
    ending = end([line(1_700_000_000 + 2 * t, arm(90), arm(10, 9)) for t in range(9)])
    assert ending.at == 1_700_000_000 + 2 * (ending.samples - 1)


def test_replay_single_lost_readings_are_no_event() -> None:
    recording = lines(9, arm(90), arm(10))
    recording[4] = line(5, arm(90), None)
    recording[8] = line(9, None, arm(10))
    assert end(recording).verdict.kind is VerdictKind.INCONCLUSIVE


def test_replay_arm_that_is_lost_for_long_is_unreachable_since_then() -> None:
    recording = [*lines(5, arm(90), arm(10)), *lines(13, arm(90), None, since=5)]
    assert end(recording[:16]).verdict.kind is VerdictKind.INCONCLUSIVE
    ending = end(recording)
    assert ending.verdict.kind is VerdictKind.UNREACHABLE
    assert "the figures of candidate have been unreadable for 15 s" in ending.verdict.summary


def test_replay_silence_of_stable_lets_the_limit_decide_alone() -> None:
    silent = lines(40, arm(0), arm(10, 1))
    assert end(silent[:30]).verdict.kind is not VerdictKind.HARM
    assert end(silent).verdict.kind is VerdictKind.HARM


def test_follow_says_something_after_each_sample_and_ends_as_replay_does() -> None:
    recording = steady(200, failing=0.06)
    said = list(follow(RULES, read(recording)))
    assert [ending.samples for ending in said] == list(range(1, len(said) + 1))
    assert said[-1] == end(recording)
    assert said[-1].verdict.kind is VerdictKind.HARM
    assert all(ending.at is None for ending in said[:-1])


def test_steps_kinds_are_exactly_those_of_the_judge() -> None:
    """Against a judge that is called anew after every sample, on a recording with everything in it."""
    recording = [
        *steady(20, failing=0.02),
        *lines(15, arm(20), None, since=20),
        *lines(15, None, arm(20), since=35),
        *lines(40, arm(20, 8), arm(20, 8), since=50),
        *lines(15, arm(20), arm(0), since=90),
        *lines(30, arm(20), arm(20, 19), since=105),
    ]
    rules, state = judge.RuleBatch.of([RULES]), judge.initial_state(1)
    steps, seen = LockStep([RULES]), set()
    since: dict[str, tuple[Reading, float]] = {}
    for recorded in read(recording):
        state = judge.fold(rules, state, judge.SampleBatch.of([recorded.sample]))
        fresh = {}
        for name in ("candidate", "stable"):
            got = getattr(recorded.sample, name)
            reading = Reading.UNREACHABLE
            if got is not None:
                reading = Reading.DATA if got.requests else Reading.NO_DATA
            if name not in since or since[name][0] is not reading:
                since[name] = (reading, recorded.t)
            fresh[name] = ArmFreshness(reading, recorded.t - since[name][1])
        expected = judge.judge(rules, state, [Freshness(**fresh)])[0]
        assert steps.step([recorded]) == (expected.kind,)
        assert steps.verdicts() == [expected]
        seen.add(expected.kind)
    assert len(seen) >= 4


def test_replay_of_many_says_what_each_alone_would_say() -> None:
    plans = [RULES, JudgeRules(error_rate_max=0.05), JudgeRules(has_stable=False), JudgeRules(alpha=0.001)]
    recordings = [
        read(steady(90, failing=0.1)),
        read(steady(150, seed=8)),
        read(lines(70, arm(0), arm(10, 1))),
        read(steady(40, failing=0.03, seed=9)),
    ]
    together = replay([*plans, RULES], [*recordings, []])
    assert together[-1] is None
    alone = [replay([rules], [recording])[0] for rules, recording in zip(plans, recordings, strict=True)]
    assert together[:-1] == alone
    assert len({ending.samples for ending in alone if ending}) == 4
