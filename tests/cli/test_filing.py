"""Commands that file a release, against the real API."""

import pytest

from releases.domain.release import Phase
from tenants.roles import Role
from tests import factories
from tests.cli.conftest import WINE, Make, Output, Stage
from tests.cli.front import Front

pytestmark = pytest.mark.django_db


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
