"""Engines away, workers killed, two at once: nothing is lost and nothing is done twice."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction

from releases.domain.release import Act
from releases.domain.version import Change
from releases.models import Release, Sample
from releases.services import commands, persist, reconcile
from tests.services.rig import Rig


def canary(rig: Rig) -> Release:
    rig.serve(rig.register())
    return rig.run(rig.file(rig.register()), "canary")


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("router", "the gateway cannot be read"),
        ("target", "the candidate cannot be reached"),
        ("metrics", "the metric source cannot be reached"),
    ],
)
def test_engine_away_for_a_minute_holds_the_canary_says_which_and_then_goes_on(
    rig: Rig, engine: str, said: str
) -> None:
    release = canary(rig)
    rig.tick(5)
    getattr(rig.world, engine).reachable = False
    for _ in range(60):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "canary"
    assert release.reason.startswith("holding: " + said)
    getattr(rig.world, engine).reachable = True
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_candidate_that_ends_without_traffic_holds_and_says_so(rig: Rig) -> None:
    """Nothing fails when nobody asks: that it does not serve has to be seen elsewhere."""
    release = canary(rig)
    rig.rate = 0
    candidate, _ = rig.refs(release)
    rig.world.target.broken[candidate] = "killed: out of memory"
    for _ in range(60):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "canary"
    assert release.reason == "holding: the candidate does not serve: killed: out of memory"


def test_release_without_traffic_waits_and_says_so(rig: Rig) -> None:
    release = canary(rig)
    rig.rate = 0
    for _ in range(120):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "canary"
    assert release.reason.endswith("not certain yet: no request has reached the candidate yet; waiting")
    assert release.last_verdict().kind == "no_data"


def test_rollback_waits_for_the_gateway_and_says_so(rig: Rig) -> None:
    release = canary(rig)
    rig.tick()
    rig.world.router.reachable = False
    commands.act(rig.ada, release.pk, Act.ABORT, "looks wrong", at=rig.at)
    for _ in range(30):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "rolling_back"
    assert "does not answer" in release.reason
    rig.world.router.reachable = True
    assert rig.run(release, "rolled_back").phase == "rolled_back"


def test_rollback_works_while_the_target_cannot_be_reached(rig: Rig) -> None:
    release = canary(rig)
    rig.tick()
    rig.world.target.reachable = False
    commands.act(rig.ada, release.pk, Act.ABORT, "looks wrong", at=rig.at)
    assert rig.run(release, "rolled_back", seconds=5).phase == "rolled_back"


@pytest.mark.parametrize("phase", ["validating", "deploying", "smoke_testing", "canary", "promoting"])
def test_worker_killed_between_persist_and_effect_in_each_phase_ends_the_same(rig: Rig, phase: str) -> None:
    rig.serve(rig.register())
    release = rig.file(rig.register())
    killed = 0
    for _ in range(120):
        release.refresh_from_db()
        if release.phase == "succeeded":
            break
        if release.phase == phase and killed < 3:
            killed += 1
            rig.works = False
            reachable, rig.world.router.reachable = rig.world.router.reachable, False
            rig.tick(passes=1)  # decided and stored; the effect never came
            rig.world.router.reachable, rig.works = reachable, True
        rig.tick(passes=1)
    assert release.phase == "succeeded", release.reason
    assert killed


def test_pass_that_dies_after_its_claim_is_taken_over_when_the_lease_is_over(rig: Rig) -> None:
    release = canary(rig)
    rig.at += timedelta(seconds=1)
    assert [row.pk for row in reconcile.claim(rig.at)] == [release.pk]  # and then kill -9
    rig.tick()
    before = Sample.objects.count()
    rig.tick(2)
    assert Sample.objects.count() == before  # nobody else touches it while the lease holds
    rig.tick(reconcile.LEASE.total_seconds())
    assert Sample.objects.count() > before
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_worker_that_starts_goes_on_at_once_with_what_a_killed_one_had_claimed(rig: Rig) -> None:
    release = canary(rig)
    rig.at += timedelta(seconds=1)
    (killed,) = reconcile.claim(rig.at)
    assert reconcile.free_leases() == 1
    before = Sample.objects.count()
    rig.tick()
    assert Sample.objects.count() > before
    decision = persist.Decision(killed.state(), "it was alive after all", is_event=False)
    assert persist.quietly([persist.Outcome(killed, decision, None)], rig.at) == []
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_stale_worker_writes_nothing_when_somebody_else_was_faster(rig: Rig) -> None:
    release = canary(rig)
    rig.at += timedelta(seconds=1)
    (stale,) = reconcile.claim(rig.at)
    commands.act(rig.ada, release.pk, Act.PAUSE, "wait", at=rig.at)
    decision = persist.Decision(stale.state(), "stale", is_event=False)
    assert persist.quietly([persist.Outcome(stale, decision, None)], rig.at) == []
    assert not persist.event(
        persist.Outcome(stale, persist.Decision(stale.state(), "stale", True), None), rig.at
    )
    release.refresh_from_db()
    assert release.intent == "pause"
    assert "stale" not in rig.reasons(release)


def test_two_workers_never_claim_the_same_release(rig: Rig) -> None:
    canary(rig)
    rig.at += timedelta(seconds=1)
    first = reconcile.claim(rig.at)
    second = reconcile.claim(rig.at)
    assert len(first) == 1
    assert second == []


def test_one_broken_release_is_pushed_forward_and_the_others_go_on(rig: Rig) -> None:
    broken = canary(rig)
    Release.objects.filter(pk=broken.pk).update(evidence=b"not evidence", plan={"steps": "nonsense"})
    other = rig.file(rig.register(Change.MAJOR), "staging")
    other = rig.run(other, "succeeded")
    broken.refresh_from_db()
    assert broken.failures > 0
    assert broken.last_error
    assert broken.next_wake_at is not None


def test_counters_that_begin_anew_are_no_harm(rig: Rig) -> None:
    release = canary(rig)
    rig.tick(3)
    rig.world.metrics.restart()
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_artifact_that_vanished_is_fetched_again(rig: Rig) -> None:
    endpoint = rig.serve(rig.register())
    assert endpoint.stable is not None
    candidate = rig.register()
    release = rig.file(candidate)
    rig.run(release, "deploying")
    candidate.refresh_from_db()
    shutil.rmtree(rig.store.path(candidate.digest))
    rig.world.target.deployments.clear()
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_candidate_that_never_gets_ready_is_rolled_back_in_time_and_told(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.world.target.reads_until_ready = 10_000
    release = rig.run(rig.file(rig.register(), plan={"deadlines": {"deploying": 20}}), "rolled_back")
    assert "not ready within 20 s" in rig.reasons(release)


def test_candidate_whose_server_fails_is_rolled_back_with_what_it_said(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "deploying")
    candidate, _ = rig.refs(release)
    rig.world.target.broken[candidate] = "exited 5 times: no module named lightgbm"
    release = rig.run(release, "rolled_back")
    assert "no module named lightgbm" in rig.reasons(release)


def test_stable_that_was_stopped_is_brought_back_by_the_watchdog(rig: Rig) -> None:
    endpoint = rig.serve(rig.register())
    (ref,) = rig.world.target.list()
    rig.world.target.remove(ref)
    rig.sweep()
    assert rig.world.target.list() == {ref}
    endpoint.refresh_from_db()
    assert "was not running" in endpoint.drift
    rig.sweep()
    endpoint.refresh_from_db()
    assert endpoint.drift == ""


def test_stable_that_vanishes_during_a_rollback_is_brought_back_and_the_candidate_is_not(rig: Rig) -> None:
    release = canary(rig)
    rig.tick()
    _, stable = rig.refs(release)
    rig.world.router.stuck = True
    commands.act(rig.ada, release.pk, Act.ABORT, "looks wrong", at=rig.at)
    for ref in rig.world.target.list():
        rig.world.target.remove(ref)
    rig.tick()
    release.refresh_from_db()
    assert release.phase == "rolling_back"
    assert rig.world.target.list() == {stable}


def test_pass_needs_a_constant_number_of_queries(rig: Rig, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
    canary(rig)
    rig.tick()
    rig.at += timedelta(seconds=1)
    with django_assert_max_num_queries(14):
        reconcile.reconcile(lambda target: rig.world.ports, rig.errands(), rig.clock)


def test_one_endpoint_has_one_active_release_even_without_the_code(rig: Rig) -> None:
    release = canary(rig)
    copy = Release.objects.get(pk=release.pk)
    copy.pk = "0" * 26
    with pytest.raises(Exception, match="release_one_active_per_endpoint"), transaction.atomic():
        copy.save(force_insert=True)


def test_stable_that_the_supervisor_gave_up_is_asked_for_again_and_told(rig: Rig) -> None:
    endpoint = rig.serve(rig.register())
    (ref,) = rig.world.target.list()
    rig.world.target.broken[ref] = "exited 5 times: out of memory"
    rig.world.target.deployments[ref] = replace(rig.world.target.deployments[ref], version="forgotten")
    rig.sweep()
    endpoint.refresh_from_db()
    assert "out of memory" in endpoint.drift
    assert rig.world.target.deployments[ref].version == "1.0.0"


@pytest.mark.parametrize("stored", [b"of another time", bytes(400)])
def test_release_with_evidence_of_another_layout_holds_says_so_and_can_be_aborted(
    rig: Rig, stored: bytes
) -> None:
    """An upgrade in the middle of a canary: what cannot be judged must not be beyond a person's reach."""
    release = canary(rig)
    rig.tick(5)
    samples = Sample.objects.count()
    Release.objects.filter(pk=release.pk).update(evidence=stored)
    for _ in range(90):
        rig.tick()
    release.refresh_from_db()
    assert (release.phase, Sample.objects.count()) == ("canary", samples)
    assert release.reason.startswith("holding: its samples cannot be judged (")
    assert "bytes of evidence, expected" in release.last_error
    commands.act(rig.ada, release.pk, Act.ABORT, "evidence of another version", at=rig.at)
    assert rig.run(release, "rolled_back", seconds=5).last_error == ""


def test_release_that_cannot_be_judged_is_given_to_a_person_after_its_deadline(rig: Rig) -> None:
    rig.serve(rig.register())
    plan = {"deadlines": {"unknown": 30}}
    release = rig.run(rig.file(rig.register(), plan=plan), "canary")
    rig.tick(5)
    Release.objects.filter(pk=release.pk).update(evidence=b"of another time")
    assert "cannot be judged" in rig.run(release, "paused", seconds=120).reason
