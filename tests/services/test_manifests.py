"""The manifests of a release: previewed, refused with the field, tried again, and kept as they ended."""

import pytest

from releases.domain.release import Act
from releases.models import Release, ReleaseManifest
from releases.ports import Problem
from releases.services import commands
from tests.services.rig import Rig

SUM = Problem("spec.predictors[*].traffic", "the shares of the traffic are 90 + 0, which is not 100")
SECRET = Problem("spec.predictors[1].graph.envSecretRefName", "the namespace has no secret s3")


def manifest(release: Release) -> ReleaseManifest:
    return ReleaseManifest.objects.get(release=release)


def test_preflight_that_finds_nothing_passes_and_keeps_what_approvers_have_to_see(rig: Rig) -> None:
    rig.production.approvals_required = 1
    rig.production.save()
    rig.world.preflight.before = "name: nothing-yet\n"
    release = rig.run(rig.file(rig.register()), "awaiting_approval")
    check = release.checks.get(name="preflight")
    assert (check.outcome, check.reason) == ("pass", "the target would take the manifests (2 lines)")
    kept = manifest(release)
    assert kept.before == "name: nothing-yet\n"
    assert "version: 1.0.0" in kept.after
    assert (kept.applied_at, kept.ended_at) == (None, None)


def test_preflight_with_problems_rejects_with_one_line_each_naming_the_field(rig: Rig) -> None:
    rig.world.preflight.problems = (SUM, SECRET)
    release = rig.run(rig.file(rig.register()), "rejected")
    check = release.checks.get(name="preflight")
    assert check.outcome == "fail"
    assert check.reason.splitlines() == [f"{one.field}: {one.message}" for one in (SUM, SECRET)]
    assert [problem["field"] for problem in check.detail["problems"]] == [SUM.field, SECRET.field]
    assert f"preflight: {SUM.field}" in release.reason
    assert rig.world.target.list() == set()
    assert manifest(release).after  # what was refused can be read


def test_preflight_of_a_target_that_is_away_waits_and_says_why(rig: Rig) -> None:
    rig.world.preflight.reachable = False
    release = rig.file(rig.register())
    for _ in range(10):
        rig.tick()
    release.refresh_from_db()
    assert release.phase == "validating"
    assert release.reason == "preflight: the target does not answer; trying again"
    rig.world.preflight.reachable = True
    assert rig.run(release, "succeeded").phase == "succeeded"


def test_problem_that_appears_after_the_approval_keeps_everything_from_being_applied(rig: Rig) -> None:
    rig.production.approvals_required = 1
    rig.production.save()
    release = rig.run(rig.file(rig.register()), "awaiting_approval")
    rig.world.preflight.problems = (SECRET,)
    commands.decide_approval(rig.ben, release.pk, approve=True, at=rig.at)
    release = rig.run(release, "rolled_back")
    assert f"the deployment failed: {SECRET.field}: {SECRET.message}" in rig.reasons(release)
    assert rig.world.target.list() == set()
    assert manifest(release).applied_at is None


def test_manifests_that_changed_since_the_approval_are_kept_and_that_is_told(rig: Rig) -> None:
    rig.production.approvals_required = 1
    rig.production.save()
    release = rig.run(rig.file(rig.register()), "awaiting_approval")
    rig.world.preflight.after = "image: another\n"
    commands.decide_approval(rig.ben, release.pk, approve=True, at=rig.at)
    release = rig.run(release, "succeeded")
    assert manifest(release).after == "image: another\n"
    assert rig.reasons(release).count("no longer those of the validation") == 1


def test_what_is_applied_is_tried_once_and_not_again_with_every_pass(rig: Rig) -> None:
    rig.world.target.reads_until_ready = 5
    release = rig.run(rig.file(rig.register()), "deploying")
    rig.tick()
    rig.world.preflight.before = "name: it-is-there-now\n"  # not what was there before the release
    rig.world.target.deployments.clear()
    rig.tick()
    assert rig.world.target.list()
    kept = manifest(release)
    assert kept.before == ""
    assert kept.applied_at is not None


@pytest.mark.parametrize("phase", ["succeeded", "rolled_back"])
def test_what_a_release_left_is_kept_when_it_has_ended(rig: Rig, phase: str) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    if phase == "rolled_back":
        commands.act(rig.ada, release.pk, Act.ABORT, "looks wrong", at=rig.at)
    release = rig.run(release, phase)
    rig.world.preflight.before = "traffic: 100\n"
    rig.world.preflight.reachable = False
    with pytest.raises(Exception, match="does not answer"):
        rig.sweep()
    rig.world.preflight.reachable = True
    rig.sweep()
    assert manifest(release).ended == "traffic: 100\n"
    rig.world.preflight.before = "traffic: 0\n"
    rig.sweep()
    assert manifest(release).ended == "traffic: 100\n"


def test_what_a_release_left_is_looked_for_until_it_can_be_seen(rig: Rig) -> None:
    release = rig.run(rig.file(rig.register()), "succeeded")
    rig.world.preflight.problems = (Problem("metadata.namespace", "is not open to the portal"),)
    rig.sweep()
    assert manifest(release).ended_at is None
    rig.world.preflight.problems = ()
    rig.sweep()
    assert manifest(release).ended_at is not None


def test_what_a_release_left_is_not_taken_from_the_next_one(rig: Rig) -> None:
    release = rig.run(rig.file(rig.register()), "succeeded")
    rig.run(rig.file(rig.register()), "canary")
    rig.world.preflight.before = "traffic: 60\n"
    rig.sweep()
    assert manifest(release).ended_at is None
