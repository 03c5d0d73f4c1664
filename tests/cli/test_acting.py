"""Commands that act on a release, against the real API."""

import pytest

from releases.domain.release import Phase
from releases.models import Approval
from tenants.roles import Role
from tests import factories
from tests.cli.conftest import WINE, Make, Output, Stage
from tests.cli.front import Front

pytestmark = pytest.mark.django_db


def test_promote_ends_the_hold_once(command: Make, stage: Stage, front: Front) -> None:
    release = stage.release()
    assert command().call("promote", *WINE, "--no-wait", "--reason", "enough seen") == 0
    release.refresh_from_db()
    assert (release.intent, release.intent_reason) == ("promote", "enough seen")
    assert sum(line.startswith("POST") for line in front.requests) == 1


def test_promote_of_a_promotion_asks_for_nothing(command: Make, stage: Stage, front: Front) -> None:
    stage.release(Phase.SUCCEEDED)
    assert command().call("promote", *WINE) == 0
    assert not [line for line in front.requests if line.startswith("POST")]


def test_promote_before_traffic_and_after_a_rollback_is_1(
    command: Make, stage: Stage, capsys: Output
) -> None:
    release = stage.release(Phase.DEPLOYING)
    assert command().call("promote", *WINE) == 1
    assert "there is nothing to promote" in capsys.readouterr().out
    stage.walk(release, (Phase.ROLLED_BACK, "all traffic on stable"))
    assert command().call("promote", *WINE) == 1


def test_promote_whose_answer_is_lost_looks_before_it_asks_again(
    command: Make, stage: Stage, front: Front
) -> None:
    release = stage.release()
    lost: list[str] = []

    def lose(line: str) -> bool:
        if line.endswith("/promote/") and not lost:
            lost.append(line)
            stage.walk(release, (Phase.PROMOTING, "hold ended"))
            return True
        return False

    front.lose = lose
    assert command().call("promote", *WINE, "--no-wait") == 0
    assert sum(line.endswith("/promote/") for line in front.requests) == 1


def test_rollback_aborts_what_runs_and_is_repeatable(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release()
    assert command().call("rollback", *WINE, "--no-wait", "--reason", "users complain") == 0
    release.refresh_from_db()
    assert (release.intent, release.intent_reason) == ("abort", "users complain")
    stage.walk(release, (Phase.ROLLING_BACK, "aborted"), (Phase.ROLLED_BACK, "all traffic on stable"))
    assert command().call("rollback", *WINE) == 0
    assert "reached: wine 1.1.0 was rolled back in production: aborted" in capsys.readouterr().out


def test_rollback_of_a_finished_release_goes_back_once(
    command: Make, stage: Stage, front: Front, capsys: Output
) -> None:
    finished = stage.release(Phase.SUCCEEDED)
    stage.place.stable, stage.place.previous = stage.new, stage.old
    stage.place.save()
    front.lose = lambda line: line.endswith("/rollback/") and front.requests.count(line) == 1
    arguments = ("rollback", "--release", finished.pk, "--no-wait")
    assert command().call(*arguments) == 0  # the first answer is lost: the second is told of the way back
    assert command().call(*arguments) == 0
    [back] = stage.releases.exclude(pk=finished.pk)
    assert (back.version, back.phase) == (stage.old, "deploying")
    assert "the way back is asked for" in capsys.readouterr().out
    stage.place.stable = stage.old
    stage.place.save()
    assert command().call(*arguments) == 0
    assert "does not serve production any more: 1.0.0 does" in capsys.readouterr().out


def test_rollback_of_the_release_that_a_step_did_not_file_touches_no_other(
    command: Make, stage: Stage, capsys: Output
) -> None:
    last_week = stage.release(Phase.SUCCEEDED)
    stage.place.stable, stage.place.previous = stage.new, stage.old
    stage.place.save()
    asked = command()
    asked.variables["PORTAL_RELEASE"] = ""
    assert asked.call("rollback", *WINE) == 2
    assert "PORTAL_RELEASE is set and empty" in capsys.readouterr().err
    assert stage.releases.get() == last_week


def test_rollback_needs_an_operator(command: Make, stage: Stage, capsys: Output) -> None:
    stage.release()
    assert command(Role.REQUESTER).call("rollback", *WINE) == 1
    assert "A requester may not abort a release." in capsys.readouterr().out


def test_approve_shows_what_is_agreed_to(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release(Phase.AWAITING_APPROVAL, approvals_required=1)
    factories.check(release, "loads", stage="validation", reason="in 2.1 s")
    asked = command(Role.APPROVER)
    assert asked.call("approve", *WINE, "--comment", "good numbers") == 0
    said = capsys.readouterr().out
    assert factories.DIGEST in said
    assert "10 % for 300 s, then 100 %; errors at most 1 %" in said
    assert "in 2.1 s" in said
    assert "approved, 1 of 1 approvals given" in said
    assert Approval.objects.get(tenant=stage.acme).comment == "good numbers"
    assert asked.call("approve", *WINE) == 1
    assert "You have decided already." in capsys.readouterr().out


def test_approve_whose_answer_is_lost_is_approved_once(command: Make, stage: Stage, front: Front) -> None:
    stage.release(Phase.AWAITING_APPROVAL, approvals_required=1)
    front.lose = lambda line: line.endswith("/approve/")
    assert command(Role.APPROVER).call("approve", *WINE) == 0
    assert Approval.objects.filter(tenant=stage.acme).count() == 1
