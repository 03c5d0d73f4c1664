"""Samples out of sources that look only now and then, or whose pods change: no request is counted twice, none
is counted for one arm alone, and nobody is called silent because nobody looked."""

import pytest

from releases.models import Release, Sample
from releases.ports import Missing
from tests.services.rig import Rig


@pytest.fixture
def canary(rig: Rig) -> Release:
    """1.1.0 gets 40 % of 50 requests a second."""
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    rig.tick()
    return release


def samples(release: Release) -> list[tuple[str, float, int, str]]:
    """Arm, seconds, requests and what is missing, since the canary began."""
    rows = Sample.objects.filter(release=release).order_by("at", "arm")
    return [(row.arm, row.seconds, row.requests, row.missing) for row in rows]


def test_sample_is_taken_only_when_the_source_has_looked_again(rig: Rig, canary: Release) -> None:
    before = len(samples(canary))
    with rig.world.metrics.looking_away():
        for _ in range(14):
            rig.tick()
    rig.tick()
    assert samples(canary)[before:] == [("candidate", 15.0, 300, ""), ("stable", 15.0, 450, "")]


def test_sample_waits_until_the_source_has_looked_at_both_arms(rig: Rig, canary: Release) -> None:
    before = len(samples(canary))
    candidate, _ = rig.refs(canary)
    with rig.world.metrics.looking_away(candidate):
        for _ in range(5):
            rig.tick()
    rig.tick()
    assert samples(canary)[before:] == [("candidate", 6.0, 120, ""), ("stable", 6.0, 180, "")]


def test_verdict_stays_as_it_was_while_the_source_does_not_look(rig: Rig, canary: Release) -> None:
    canary.refresh_from_db()
    before = canary.last_verdict()
    with rig.world.metrics.looking_away():
        for _ in range(20):
            rig.tick()
        canary.refresh_from_db()
        assert canary.last_verdict() == before


def test_source_that_fails_between_two_looks_is_told_at_once(rig: Rig, canary: Release) -> None:
    before = len(samples(canary))
    with rig.world.metrics.looking_away():
        rig.tick()
        rig.world.metrics.reachable = False
        rig.tick()
    gone = Missing.UNREACHABLE.value
    assert samples(canary)[before:] == [("candidate", 2.0, 0, gone), ("stable", 2.0, 0, gone)]


def test_sample_of_pods_that_changed_is_missing_and_the_next_one_right(rig: Rig, canary: Release) -> None:
    candidate, _ = rig.refs(canary)
    rig.tick(10)
    before = len(samples(canary))
    rig.world.metrics.change_pods(candidate, leaving=20)
    rig.tick()
    rig.tick()
    told = [row for row in samples(canary)[before:] if row[0] == "candidate"]
    assert told == [("candidate", 1.0, 0, Missing.NO_DATA.value), ("candidate", 1.0, 20, "")]
