"""Who asks which portal, and what goes wrong on the way there, against the real API."""

import json
import stat

import pytest

from portal_cli import configuration
from releases.domain.release import Phase
from tests.cli.conftest import WINE, Make, Output, Stage
from tests.cli.front import Front

pytestmark = pytest.mark.django_db


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
