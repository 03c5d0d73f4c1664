"""Each command against the real API: what it asks for, what it shows, and its exit code."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone

from portal_cli import configuration
from releases.domain.release import Phase
from releases.models import Approval
from tenants.roles import Role
from tests import factories
from tests.cli.conftest import Command, Stage
from tests.cli.front import Front

WINE = ("--model-name", "wine", "--version", "1.1.0", "--environment", "production")
Make = Callable[..., Command]
Output = pytest.CaptureFixture[str]

pytestmark = pytest.mark.django_db


# ---- filing ----------------------------------------------------------------------------------------
def test_validate_shows_what_would_be_released_and_files_nothing(
    command: Make, stage: Stage, capsys: Output
) -> None:
    assert command(Role.VIEWER).call("validate", *WINE) == 0
    said = capsys.readouterr().out
    assert factories.DIGEST in said
    assert "accuracy 0.94, log_loss 0.33" in said
    assert "reached: wine 1.1.0 can be released to production" in said
    assert not stage.releases.exists()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("--model-name", "beer", "--version", "1.1.0"), "There is no model"),
        (("--model-name", "wine", "--version", "7.7.7"), "7.7.7"),
        (("--model-name", "wine", "--version", "1.1.0", "--environment", "moon"), "moon"),
    ],
)
def test_validate_unknown_is_refused_with_its_name(
    command: Make, capsys: Output, wrong: tuple[str, ...], sentence: str
) -> None:
    assert command().call("validate", *wrong) == 1
    assert sentence in capsys.readouterr().out


def test_validate_version_on_hold_and_occupied_endpoint_are_refused(
    command: Make, stage: Stage, capsys: Output
) -> None:
    ended = factories.release(stage.place, stage.held, Phase.ROLLED_BACK)
    factories.hold(ended)
    on_hold = ("--model-name", "wine", "--version", "0.9.0", "--environment", "production")
    assert command().call("validate", *on_hold) == 1
    assert "0.9.0 is on hold in production: rolled back: 6.2 % errors" in capsys.readouterr().out
    stage.release()
    third = factories.version(stage.wine, "1.2.0")
    arguments = ("--model-name", "wine", "--version", str(third.version), "--environment", "production")
    assert command().call("validate", *arguments) == 1
    assert "1.1.0 is being released to production" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "steps", "largest"),
    [
        (("deploy",), [], 0.01),
        (("canary",), [(10, 300)], 0.01),
        (("canary", "--traffic", "25", "--duration", "60", "--error-threshold", "0.02"), [(25, 60)], 0.02),
        (("release",), [(5, 30), (50, 40)], 0.01),
        (("release", "--traffic", "20"), [(20, 300)], 0.01),
        (("release", "--traffic", "100"), [], 0.01),
    ],
)
def test_filing_commands_give_the_plan_that_is_asked_for(
    command: Make, stage: Stage, arguments: tuple[str, ...], steps: list[tuple[int, int]], largest: float
) -> None:
    own = [{"weight": 5, "hold_seconds": 30}, {"weight": 50, "hold_seconds": 40}]
    stage.production.default_plan = {"steps": own}
    stage.production.save()
    assert command().call(*arguments, *WINE, "--no-wait", "--note", "by hand") == 0
    filed = stage.releases.get()
    plan = filed.rollout_plan()
    assert [(step.weight, step.hold_seconds) for step in plan.steps] == steps
    assert plan.rules.error_rate_max == largest
    assert (filed.note, filed.requested_by) == ("by hand", "operator-bot")


def test_deploy_goes_to_staging_unless_told_otherwise(command: Make, stage: Stage) -> None:
    assert command().call("deploy", "--model-name", "wine", "--version", "1.1.0", "--no-wait") == 0
    assert stage.releases.get().endpoint.environment.name == "staging"


def test_filing_again_follows_the_release_that_is_there(command: Make, stage: Stage, capsys: Output) -> None:
    there = stage.release()
    assert command().call("canary", *WINE) == 0
    said = capsys.readouterr().out
    assert f"being released there already; following {there.pk}" in said
    assert "reached: wine 1.1.0 gets 10 % of the traffic" in said
    assert stage.releases.count() == 1


def test_filing_what_is_stable_already_is_reached(command: Make, stage: Stage, capsys: Output) -> None:
    stage.release(Phase.SUCCEEDED)
    stage.place.stable = stage.new
    stage.place.save()
    assert command().call("release", *WINE) == 0
    assert "wine 1.1.0 is stable in production" in capsys.readouterr().out
    assert stage.releases.count() == 1


def test_filing_over_another_version_is_refused(command: Make, stage: Stage, capsys: Output) -> None:
    factories.release(stage.place, stage.held)
    assert command().call("release", *WINE) == 1
    assert "0.9.0 is being released to production (canary)" in capsys.readouterr().out


def test_filing_under_github_uses_the_key_of_the_run(
    command: Make, stage: Stage, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = command()
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    assert asked.call("deploy", *WINE, "--no-wait") == 0
    assert asked.call("deploy", *WINE, "--no-wait") == 0
    assert front.keys == ["77-2-wine-1.1.0-production"] * 2
    assert stage.releases.count() == 1


def test_filing_by_hand_has_a_new_key_each_time(command: Make, front: Front) -> None:
    for _ in range(2):
        command().call("deploy", *WINE, "--no-wait")
    assert len(set(front.keys)) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), None),
        (("--commit-status",), {"repository": "acme/wine", "sha": "a" * 40}),
        (
            ("--commit-repository", "acme/models", "--commit-sha", "b" * 40),
            {"repository": "acme/models", "sha": "b" * 40},
        ),
    ],
)
def test_filing_names_the_commit_only_when_asked_to(
    command: Make,
    front: Front,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: dict[str, str] | None,
) -> None:
    asked = command()
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/wine")
    monkeypatch.setenv("GITHUB_SHA", "a" * 40)
    asked.call("deploy", *WINE, "--no-wait", *arguments)
    assert front.filed[-1].get("commit") == told


def test_filing_needs_a_role_that_may(command: Make, capsys: Output) -> None:
    assert command(Role.VIEWER).call("deploy", *WINE) == 1
    assert "viewer" in capsys.readouterr().out


# ---- looking ---------------------------------------------------------------------------------------
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


# ---- acting ----------------------------------------------------------------------------------------
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


# ---- who and where ---------------------------------------------------------------------------------
def test_wrong_token_is_1_with_a_sentence(command: Make, capsys: Output) -> None:
    asked = command()
    asked.variables["PORTAL_TOKEN"] = "mlp_wrong"
    assert asked.call("status", *WINE) == 1
    assert "The portal does not accept the token" in capsys.readouterr().out


def test_tenant_of_others_is_1(command: Make, capsys: Output) -> None:
    asked = command()
    asked.variables["PORTAL_TENANT"] = Stage().acme.slug
    assert asked.call("status", *WINE) == 1
    assert "not yours" in capsys.readouterr().out


def test_nobody_listens_is_3(command: Make, front: Front, capsys: Output) -> None:
    asked = command()
    front.close()
    assert asked.call("status", *WINE, "--patience", "0", "--json") == 3
    shown = capsys.readouterr()
    assert "is not reachable" in shown.err
    assert json.loads(shown.out)["code"] == "not_reachable"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, {"Content-Type": "text/html"}, b"<html>Welcome to this hotel"), "is not the portal's API"),
        ((200, {"Content-Type": "application/json"}, b"[1, 2]"), "is not the portal's API"),
        ((301, {"Location": "https://portal.example/"}, b""), "sends on to https://portal.example/"),
    ],
)
def test_something_else_listens_is_3(
    command: Make,
    stage: Stage,
    front: Front,
    capsys: Output,
    answer: tuple[int, dict[str, str], bytes],
    sentence: str,
) -> None:
    front.answer_instead = lambda line: answer
    assert command().call("status", "--release", stage.release().pk) == 3
    assert sentence in capsys.readouterr().out


def test_release_of_others_and_one_that_is_not_there_are_the_same_1(command: Make, capsys: Output) -> None:
    theirs = Stage().release()
    for name in (theirs.pk, "0" * 26):
        assert command().call("status", "--release", name) == 1
        assert f"FAILED: There is no release '{name}'." in capsys.readouterr().out


def test_summary_that_cannot_be_written_changes_no_exit_code(
    command: Make, stage: Stage, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.release(Phase.SUCCEEDED)
    asked = command()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nowhere/at/all")
    assert asked.call("monitor", *WINE) == 0
    assert "/nowhere/at/all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fly",), "No such command"),
        (("canary", *WINE, "--traffic", "0"), "--traffic"),
        (("canary", *WINE, "--error-threshold", "nan"), "--error-threshold"),
        (("canary", *WINE, "--timeout", "-1"), "--timeout"),
        (("canary", *WINE, "--replicas", "3"), "Autoscaling"),
        (("canary", *WINE, "--idempotency-key", "schlüssel"), "plain characters"),
        (("canary", "--model-name", "wine"), "--version, --environment is missing"),
        (("deploy", *WINE, "--commit-status"), "GITHUB_SHA"),
        (("deploy", *WINE, "--commit-sha", "ab"), "belong together"),
        (("status",), "Say which release"),
        (("status", "--release", "../tokens"), "no release's id"),
        (("status", *WINE, "--url", "portal.example"), "is no address of a portal"),
    ],
)
def test_usage_is_2(
    command: Make, stage: Stage, capsys: Output, arguments: tuple[str, ...], sentence: str
) -> None:
    assert command().call(*arguments) == 2
    shown = capsys.readouterr()
    assert sentence in (shown.out + shown.err).replace("\n", " ")
    assert not stage.releases.exists()


def test_nothing_configured_is_2_and_says_what_is_missing(command: Make, capsys: Output) -> None:
    asked = command()
    for name in ("PORTAL_URL", "PORTAL_TENANT", "PORTAL_TOKEN"):
        asked.variables[name] = ""
    assert asked.call("status", *WINE) == 2
    assert "Set PORTAL_URL, PORTAL_TENANT, PORTAL_TOKEN" in capsys.readouterr().out


def test_login_stores_a_token_that_works_for_its_portal_only(
    command: Make, stage: Stage, front: Front, capsys: Output
) -> None:
    stage.release()
    asked = command()
    token = asked.variables.pop("PORTAL_TOKEN")
    process = asked.start("login", stdin=-1)
    assert process.communicate(token + "\n")[1] == ""
    assert process.returncode == 0
    asked.variables |= {"PORTAL_URL": "", "PORTAL_TENANT": "", "PORTAL_TOKEN": ""}
    assert asked.call("status", *WINE) == 0
    path = configuration.path()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["token"] == token
    asked_before = len(front.requests)
    assert asked.call("status", *WINE, "--url", front.url.replace("127.0.0.1", "localhost")) == 2
    assert asked.call("status", *WINE, "--tenant", "globex") == 2
    assert len(front.requests) == asked_before
    assert token not in capsys.readouterr().out


def test_login_with_a_wrong_token_stores_nothing(command: Make) -> None:
    process = command().start("login", stdin=-1)
    assert "does not accept the token" in process.communicate("mlp_wrong\n")[1]
    assert process.returncode == 1
    assert not configuration.path().exists()
