"""Commands that look at a release, against the real API."""

import json
from pathlib import Path

import pytest
from django.utils import timezone

from releases.domain.release import Phase
from tenants.roles import Role
from tests import factories
from tests.cli.conftest import WINE, Make, Output, Stage

pytestmark = pytest.mark.django_db


def test_smoke_test_shows_its_checks(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release()
    factories.check(release, "loads", stage="validation", reason="in 2.1 s")
    factories.check(release, "outputs", stage="smoke", reason="3 answers as in validation")
    assert command(Role.VIEWER).call("smoke-test", *WINE) == 0
    said = capsys.readouterr().out
    assert "3 answers as in validation" in said
    assert "in 2.1 s" not in said
    assert "reached: smoke test of wine 1.1.0 → production passed" in said


def test_smoke_test_that_failed_or_never_was_is_1(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release(Phase.ROLLED_BACK)
    assert command().call("smoke-test", "--release", release.pk) == 1
    assert "there was no smoke test" in capsys.readouterr().out
    factories.check(release, "status", "fail", stage="smoke", reason="the candidate answers 500")
    assert command().call("smoke-test", "--release", release.pk) == 1
    assert "the candidate answers 500" in capsys.readouterr().out


def test_monitor_of_a_promotion_is_0_and_of_a_rollback_1(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release()
    stage.walk(release, (Phase.PROMOTING, "certified; to 100 %"))
    assert command(Role.VIEWER).call("monitor", *WINE) == 0
    assert "passed; it is being promoted" in capsys.readouterr().out
    stage.walk(
        release,
        (Phase.ROLLING_BACK, "6.2 % errors where stable has 0.2 %"),
        (Phase.ROLLED_BACK, "all traffic on stable, confirmed by the gateway"),
    )
    assert command(Role.VIEWER).call("monitor", *WINE) == 1
    said = capsys.readouterr().out
    assert "FAILED: wine 1.1.0 was rolled back in production: 6.2 % errors where stable has 0.2 %" in said


def test_monitor_that_waits_for_an_approval_says_whose(command: Make, stage: Stage, capsys: Output) -> None:
    release = stage.release(
        plan={"steps": [{"weight": 10, "hold_seconds": 300, "approval": True}]},
        approvals_required=1,
        reason="step 1 of 1: 10 % for 300 s; hold is over, waits for approval: 0 of 1 approvals",
    )
    assert command().call("monitor", *WINE) == 0
    said = capsys.readouterr().out
    assert "it waits for approval: 0 of 1 given. An approver who is not ci-wine agrees" in said
    assert f"portal approve --release {release.pk}" in said


def test_monitor_time_is_over_is_4_and_says_how_to_follow(
    command: Make, stage: Stage, capsys: Output
) -> None:
    release = stage.release()
    assert command().call("monitor", *WINE, "--timeout", "0") == 4
    said = capsys.readouterr().out
    assert f"running: Still canary after 0 s ({release.reason}). The release goes on" in said
    assert f"portal status --wait --release {release.pk}" in said


def test_release_that_is_meant_is_the_active_one_then_the_newest(
    command: Make, stage: Stage, capsys: Output
) -> None:
    active = stage.release()
    later = timezone.now()
    ended = factories.release(stage.place, stage.new, Phase.ROLLED_BACK, at=later)
    assert command().call("status", *WINE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == active.pk
    stage.walk(active, (Phase.CANCELLED, "withdrawn"))
    assert command().call("status", *WINE, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == max(active.pk, ended.pk)


def test_json_is_one_document_and_all_else_is_on_the_other_stream(
    command: Make, stage: Stage, capsys: Output
) -> None:
    release = stage.release(Phase.ROLLED_BACK)
    assert command().call("monitor", *WINE, "--json") == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["id"] == release.pk
    assert "FAILED: wine 1.1.0 was rolled back" in shown.err


def test_json_of_a_refusal_is_the_problem_document(command: Make, stage: Stage, capsys: Output) -> None:
    factories.release(stage.place, stage.held)
    assert command().call("deploy", *WINE, "--json") == 1
    problem = json.loads(capsys.readouterr().out)
    assert (problem["status"], problem["code"]) == (409, "release_active")


def test_evidence_is_the_whole_record(command: Make, stage: Stage, capsys: Output, tmp_path: Path) -> None:
    release = stage.release(Phase.SUCCEEDED)
    assert command().call("evidence", "--release", release.pk) == 0
    assert json.loads(capsys.readouterr().out)["record"]["release"]["id"] == release.pk
    target = tmp_path / "record.json"
    assert command().call("evidence", "--release", release.pk, "--output", str(target)) == 0
    assert json.loads(target.read_text())["chain"]["whole"] is True
