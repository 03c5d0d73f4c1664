"""The command in a process of its own, while releases move, networks fail and people lose patience."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from releases.domain.release import Phase
from releases.models import Release
from tenants.roles import Role
from tests import factories
from tests.cli.conftest import WINE, Make, Stage, eventually
from tests.cli.front import Answer, Front
from tests.services.rig import Rig

HARM = {
    "kind": "harm",
    "summary": "6.2 % errors where stable has 0.2 %",
    "harm_evidence": 240.0,
    "driven_by": ["errors_vs_stable"],
    "rules": [
        {
            "rule": "errors_vs_stable",
            "state": "harm",
            "evidence": 240.0,
            "limit": 100.0,
            "stable": {"requests": 5760, "errors": 12},
            "candidate": {"requests": 640, "errors": 40},
            "interval": [0.045, 0.081],
            "explanation": "more errors than stable",
        }
    ],
}
NASTY = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] | <script>\n::error::pwned ##[add-mask]x \u202eabc \x9b31m"
CLEAN = "[2J]0;owned[bold red]x[/] | <script> ::error::pwned ## [add-mask]x abc 31m"

pytestmark = pytest.mark.django_db


@pytest.fixture
def began() -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that must not outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def start(command: Make, began: list[Any]) -> Callable[..., "subprocess.Popen[str]"]:
    """The command in a process of its own."""
    asked = command()

    def start(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
        asked.variables |= variables
        process = asked.start(*arguments)
        began.append(process)
        return process

    return start


def is_waiting(front: Front, times: int = 1) -> Callable[[], bool]:
    """Whether the client has come to wait so often."""
    return lambda: sum("/wait/" in line for line in front.requests) >= times


Start = Callable[..., "subprocess.Popen[str]"]


# ---- following -------------------------------------------------------------------------------------
def test_release_is_followed_to_its_end_in_plain_lines(start: Start, stage: Stage, front: Front) -> None:
    process = start("release", *WINE, "--note", "from a test")
    release = stage.filed()
    eventually(is_waiting(front))
    stage.walk(
        release,
        (Phase.DEPLOYING, "validation passed; no approval needed"),
        (Phase.SMOKE_TESTING, "deployment ready: 1 server"),
        (Phase.CANARY, "smoke test passed; step 1 of 1: 10 % for 300 s"),
        (Phase.PROMOTING, "certified below 1 %; to 100 %"),
        (Phase.SUCCEEDED, "100 % in effect; the candidate is stable now"),
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.isprintable() or out.replace("\n", "").isprintable()
    lines = out.splitlines()
    assert lines[0] == f"wine 1.1.0 → production  release {release.pk}"
    phases = [line[10:27].strip() for line in lines if line[2:3] == ":"]
    assert phases == ["validating", "deploying", "smoke testing", "canary", "promoting", "succeeded"]
    assert "reached: wine 1.1.0 is stable in production" in lines


def test_release_that_rolls_back_is_1_with_the_cause_in_log_summary_and_outputs(
    start: Start, stage: Stage, front: Front, tmp_path: Path
) -> None:
    release = stage.release(verdict=HARM)
    files = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    process = start("monitor", *WINE, "--json", CI="true", **files)
    eventually(is_waiting(front))
    stage.walk(release, (Phase.ROLLING_BACK, HARM["summary"]), (Phase.ROLLED_BACK, "all traffic on stable"))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["phase"] == "rolled_back"
    assert "verdict            harm: 6.2 % errors where stable has 0.2 %" in err
    assert "FAILED: wine 1.1.0 was rolled back in production: 6.2 % errors" in err
    outputs = dict(line.split("=", 1) for line in Path(files["GITHUB_OUTPUT"]).read_text().splitlines())
    assert (outputs["release"], outputs["phase"]) == (release.pk, "rolled_back")
    assert outputs["url"].endswith(f"/releases/{release.pk}/")
    summary = Path(files["GITHUB_STEP_SUMMARY"]).read_text()
    assert summary.startswith("### ❌ wine 1.1.0 was rolled back in production")
    assert "| errors vs stable | harm | 40 of 640 \\= 6.2 % | 12 of 5,760 \\= 0.21 % |" in summary
    assert f"[Open the release in the portal](<{outputs['url']}>)" in summary


def test_portal_that_goes_away_and_comes_back_is_followed_on(
    start: Start, stage: Stage, front: Front
) -> None:
    release = stage.release()
    process = start("status", "--wait", *WINE)
    eventually(is_waiting(front))
    front.close()
    stage.walk(release, (Phase.PROMOTING, "certified"), (Phase.SUCCEEDED, "stable now"))
    assert process.stdout is not None
    said = ""
    while "trying again" not in said:
        said += process.stdout.readline()
    front.open()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "the portal answers again after" in out
    assert [line[10:27].strip() for line in out.splitlines() if "certified" in line] == ["promoting"]
    assert said.count("canary") == 1


def test_portal_that_stays_away_is_3_when_patience_ends(start: Start, stage: Stage, front: Front) -> None:
    stage.release()
    process = start("monitor", *WINE, "--patience", "1")
    eventually(is_waiting(front))
    front.close()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert f"FAILED: The portal at {front.url} is not reachable (" in out


def test_filing_whose_answer_is_lost_is_filed_once(start: Start, stage: Stage, front: Front) -> None:
    lost: list[str] = []

    def lose(line: str) -> bool:
        if line.startswith("POST") and not lost:
            lost.append(line)
            return True
        return False

    front.lose = lose
    process = start("deploy", *WINE, "--no-wait", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "did not answer" in err
    assert sum(line.startswith("POST") for line in front.requests) == 2
    assert json.loads(out)["id"] == stage.releases.get().pk
    assert len(front.keys) == 2
    assert len(set(front.keys)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_limit_and_restart_are_waited_for_as_long_as_they_say(
    start: Start, stage: Stage, front: Front, status: int
) -> None:
    stage.release(Phase.SUCCEEDED)
    refused: list[str] = []

    def once(line: str) -> Answer | None:
        if refused:
            return None
        refused.append(line)
        return status, {"Retry-After": "1"}, b""

    front.answer_instead = once
    out, _ = start("monitor", *WINE).communicate(timeout=60)
    assert "trying again for up to" in out
    assert "the portal answers again after 1 s" in out
    assert "reached: wine 1.1.0 is stable" in out


def test_limit_beyond_all_patience_is_3_at_once(start: Start, front: Front) -> None:
    front.answer_instead = lambda line: (429, {"Retry-After": "3600"}, b"")
    process = start("monitor", *WINE)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "asks for a pause of 3600 s" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_is_130_and_the_release_goes_on(
    start: Start, stage: Stage, front: Front, number: signal.Signals
) -> None:
    release = stage.release()
    process = start("monitor", *WINE, "--json")
    eventually(is_waiting(front))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["id"] == release.pk
    assert "The release goes on in the portal" in err
    assert f"portal status --wait --release {release.pk}" in err
    assert "Traceback" not in err
    assert not any(line.startswith("POST") for line in front.requests)


def test_time_is_over_while_it_runs_is_4(start: Start, stage: Stage) -> None:
    release = stage.release()
    process = start("release", *WINE, "--timeout", "1", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert json.loads(out)["phase"] == "canary"
    assert f"running: Still canary after 1 s ({release.reason}). The release goes on" in err


# ---- the whole way ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rig(database: None, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """The portal's own services with engines in memory, and a first version that serves."""
    rig = Rig(tmp_path_factory.mktemp("artifacts"), at=timezone.now())
    rig.serve(rig.register())
    return rig


@pytest.mark.parametrize(("share", "code", "phase"), [(0.0, 0, "succeeded"), (0.3, 1, "rolled_back")])
def test_release_through_the_real_state_machine(
    start: Start, rig: Rig, share: float, code: int, phase: str
) -> None:
    version = str(rig.register().version)
    rig.errors = {version: share}
    token = factories.token(rig.cast.acme, Role.OPERATOR, name=f"ci {phase}")[1]
    named = ("--model-name", "wine", "--version", version, "--environment", "production")
    process = start("release", *named, "--json", PORTAL_TENANT="acme", PORTAL_TOKEN=token)
    release = eventually(Release.objects.filter(tenant=rig.cast.acme, version__version=version).first)
    rig.run(release, phase)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["phase"]) == (code, phase)
    told = [line[10:27].strip().replace(" ", "_") for line in err.splitlines() if line[2:3] == ":"]
    assert [word for word in told if word not in ("verdict", "client")] == rig.history(release)
    assert ("FAILED" in err) is bool(code)


# ---- what others write -----------------------------------------------------------------------------
def test_texts_of_others_break_neither_log_nor_summary_nor_json(
    start: Start, stage: Stage, tmp_path: Path
) -> None:
    release = stage.release(Phase.ROLLED_BACK, reason=NASTY, verdict={**HARM, "summary": NASTY})
    factories.check(release, "status", "fail", stage="smoke", reason=NASTY)
    summary = tmp_path / "summary"
    process = start("smoke-test", *WINE, "--json", GITHUB_STEP_SUMMARY=str(summary))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["reason"] == NASTY
    assert out.isascii()
    assert f"fail     smoke       status            {CLEAN}\n" in err
    for text in (err, summary.read_text()):
        assert text.replace("\n", "").isprintable()
        assert "\n::" not in text
        assert "##[" not in text
    assert "<script>" not in summary.read_text()


@pytest.fixture
def on_terminal(command: Make, began: list[Any]) -> Callable[..., "Terminal"]:
    """The command on a terminal of its own."""

    def start(*arguments: str, role: Role = Role.OPERATOR, columns: int = 80, **variables: str) -> Terminal:
        asked = command(role)
        asked.variables |= {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40", **variables}
        ours, theirs = pty.openpty()
        process = asked.start(*arguments, stdout=theirs, stderr=theirs, stdin=theirs)
        began.append(process)
        os.close(theirs)
        return Terminal(ours, process)

    return start


class Terminal:
    """What a person sees, and types."""

    def __init__(self, ours: int, process: "subprocess.Popen[str]") -> None:
        self._ours = ours
        self._process = process
        self._shown: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def text(self) -> str:
        """All that was shown, with what moves the cursor."""
        return b"".join(self._shown).decode()

    def answer(self, question: str, text: str) -> None:
        """Type when asked."""
        eventually(lambda: question in self.text)
        os.write(self._ours, f"{text}\n".encode())

    def end(self) -> int:
        """The exit code."""
        code = self._process.wait(60)
        self._reader.join(60)
        os.close(self._ours)
        return code

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the last one who could write has closed it
            while data := os.read(self._ours, 65536):
                self._shown.append(data)


OnTerminal = Callable[..., Terminal]


@pytest.mark.parametrize(("columns", "shares"), [(80, "6.2 %  "), (120, "40 of 640 = 6.2 %")])
def test_terminal_shows_the_verdict_and_obeys_no_text(
    on_terminal: OnTerminal, stage: Stage, front: Front, columns: int, shares: str
) -> None:
    release = stage.release(verdict=HARM, reason=NASTY)
    terminal = on_terminal("monitor", *WINE, columns=columns)
    eventually(is_waiting(front))
    stage.walk(release, (Phase.ROLLING_BACK, "harm"), (Phase.ROLLED_BACK, "all traffic on stable"))
    assert terminal.end() == 1
    text = terminal.text
    assert not any(order in text for order in ("\x1b[2J", "\x1b]0;", "\x9b"))
    assert shares in text
    assert "6.2 % errors where stable has 0.2 %" in text
    assert "wine 1.1.0 was rolled back in production" in text
    assert text.count("\x1b[?25h") >= 1  # the cursor is back


def test_terminal_under_ci_gets_plain_lines(on_terminal: OnTerminal, stage: Stage) -> None:
    stage.release(Phase.SUCCEEDED)
    terminal = on_terminal("monitor", *WINE, CI="true")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.text


def test_terminal_approval_is_asked_for_once_more(on_terminal: OnTerminal, stage: Stage) -> None:
    release = stage.release(Phase.AWAITING_APPROVAL, approvals_required=1)
    for typed, code, given in (("n", 1, 0), ("y", 0, 1)):
        terminal = on_terminal("approve", *WINE, role=Role.APPROVER)
        terminal.answer("Approve?", typed)
        assert terminal.end() == code
        assert factories.DIGEST[:40] in terminal.text
        assert release.approvals.count() == given


def test_terminal_login_asks_and_does_not_show_the_token(
    on_terminal: OnTerminal, stage: Stage, front: Front, tmp_path: Path
) -> None:
    terminal = on_terminal("login", PORTAL_URL="", PORTAL_TENANT="", PORTAL_TOKEN="")
    terminal.answer("Portal", front.url)
    terminal.answer("Tenant", stage.acme.slug)
    terminal.answer("Token", stage.tokens[Role.VIEWER])
    assert terminal.end() == 0
    assert "the token works" in terminal.text
    assert stage.tokens[Role.VIEWER] not in terminal.text
    assert stage.tokens[Role.VIEWER] in (tmp_path / "config" / "portal" / "config.json").read_text()
