"""Releases from filing to their end: real services and database, engines in memory."""

from dataclasses import replace

import pytest

from releases.domain.errors import Conflict
from releases.domain.release import Act
from releases.domain.version import Change
from releases.models import Endpoint, Hold
from releases.ports import Arm
from releases.services import commands
from tenants.models import AuditEvent
from tests.services.rig import QUICK_PLAN, Rig


def test_first_release_without_stable_goes_straight_to_everything_and_is_watched(rig: Rig) -> None:
    release = rig.run(rig.file(rig.register()), "succeeded")
    assert rig.history(release) == ["validating", "deploying", "smoke_testing", "promoting", "succeeded"]
    assert "first version here" not in release.reason
    endpoint = Endpoint.objects.get(pk=release.endpoint_id)
    assert endpoint.stable is not None
    assert endpoint.stable.version == "1.0.0"
    assert release.started_at is not None
    assert release.finished_at is not None


def test_healthy_candidate_is_promoted_and_the_old_version_stays_warm_for_the_grace_time(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "succeeded")
    assert "canary" in rig.history(release)
    candidate, stable = rig.refs(release)
    assert release.last_verdict().kind == "certified"  # type: ignore[union-attr]
    rig.sweep()
    assert {candidate, stable} <= rig.world.target.list()
    rig.tick(QUICK_PLAN["grace_seconds"] + 1)
    rig.sweep()
    assert rig.world.target.list() == {candidate}
    setting = rig.world.router.in_effect[release.endpoint.route]
    assert setting.stable is not None
    assert setting.stable.ref == candidate
    assert setting.candidate is None


def test_failing_candidate_is_rolled_back_held_and_refused_until_the_hold_is_lifted(rig: Rig) -> None:
    rig.serve(rig.register())
    bad = rig.register(Change.MAJOR)
    rig.errors["2.0.0"] = 0.2
    release = rig.run(rig.file(bad), "rolled_back")
    assert "errors" in rig.reasons(release)
    assert rig.world.router.in_effect[release.endpoint.route].split.candidate == 0
    hold = Hold.objects.get(version=bad)
    assert hold.lifted_at is None
    assert hold.reason
    with pytest.raises(Conflict) as refused:
        rig.file(bad)
    assert refused.value.code == "on_hold"
    commands.lift_hold(rig.ada, "production", "wine", reason="fixed the scaler", at=rig.at)
    rig.errors.clear()
    assert rig.run(rig.file(bad), "succeeded").phase == "succeeded"


def test_no_traffic_is_neither_passed_nor_failed_but_waits_for_a_person(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.rate = 0
    release = rig.run(rig.file(rig.register(), plan={"max_canary_seconds": 30}), "paused")
    assert "inconclusive" in release.reason
    for _ in range(60):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "paused"
    commands.act(rig.ada, release.pk, Act.PROMOTE, "the batch job runs only at night", at=rig.at)
    release = rig.run(release, "succeeded")
    assert "the batch job runs only at night" in rig.reasons(release)


def test_harm_is_found_while_paused_and_rolled_back_without_a_person(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    commands.act(rig.ada, release.pk, Act.PAUSE, "let me look", at=rig.at)
    release = rig.run(release, "paused")
    rig.errors["1.1.0"] = 0.5
    assert rig.run(release, "rolled_back").phase == "rolled_back"


def test_abort_before_traffic_cancels_and_removes_the_deployment(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.world.target.reads_until_ready = 1_000
    release = rig.run(rig.file(rig.register()), "deploying")
    rig.tick()
    commands.act(rig.ada, release.pk, Act.ABORT, "wrong version", at=rig.at)
    release = rig.run(release, "cancelled")
    candidate, _ = rig.refs(release)
    rig.tick()
    rig.sweep()
    assert candidate not in rig.world.target.list()


def test_return_to_previous_is_one_act_and_holds_the_version_that_is_left(rig: Rig) -> None:
    rig.serve(rig.register())
    rig.serve(rig.register())
    release = commands.return_to_previous(rig.ada, "production", "wine", reason="complaints", at=rig.at)
    release = rig.run(release, "succeeded", seconds=10)
    endpoint = Endpoint.objects.get(pk=release.endpoint_id)
    assert endpoint.stable is not None
    assert endpoint.stable.version == "1.0.0"
    assert Hold.objects.get(lifted_at=None).version.version == "1.1.0"
    assert rig.history(release) == ["deploying", "smoke_testing", "promoting", "succeeded"]


def test_meddling_with_the_split_is_repaired_and_told(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    rig.tick()
    rig.tick()
    candidate, _ = rig.refs(release)
    router = rig.world.router
    right = router.in_effect[release.endpoint.route]
    assert right.candidate == Arm(candidate, right.candidate.address)  # type: ignore[union-attr]
    router.in_effect[release.endpoint.route] = type(right)(
        type(right.split)(90), right.stable, right.candidate
    )
    rig.tick()
    assert router.in_effect[release.endpoint.route] == right
    assert "changed from outside" in rig.reasons(release)


def test_split_that_an_engine_has_not_taken_up_is_told_in_its_words(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    rig.tick()
    rig.tick()
    router, route = rig.world.router, release.endpoint.route
    right = router.in_effect[route]
    router.in_effect[route] = replace(right, doubt="the operator still gives 90 % to wine-v1")
    rig.tick()
    assert router.in_effect[route] == right
    said = "the split was changed from outside (the operator still gives 90 % to wine-v1); repairing it"
    assert said in rig.reasons(release)


def test_route_that_is_not_taken_up_between_releases_is_told_once_an_hour(rig: Rig) -> None:
    endpoint = rig.serve(rig.register())
    router = rig.world.router
    router.in_effect[endpoint.route] = replace(router.in_effect[endpoint.route], doubt="it is behind")
    router.stuck = True

    def told() -> list[str]:
        events = AuditEvent.objects.filter(action="endpoint.repaired", detail__found="it is behind")
        return [event.subject for event in events]

    for _ in range(3):
        rig.tick()
        rig.sweep()
    assert told() == [endpoint.route.name]
    rig.tick(3_600)
    rig.sweep()
    assert told() == [endpoint.route.name] * 2


def test_shadow_comes_first_and_its_answers_are_judged(rig: Rig) -> None:
    rig.serve(rig.register())
    plan = {"shadow_seconds": 5, "steps": [{"weight": 20, "hold_seconds": 5}]}
    release = rig.run(rig.file(rig.register(), plan=plan), "canary")
    setting = rig.world.router.in_effect[release.endpoint.route]
    assert setting.split.shadow
    release = rig.run(release, "succeeded")
    assert "mirrored" in rig.reasons(release)
