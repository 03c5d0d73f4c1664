"""Commands that look at a release and wait for it: smoke-test, monitor, status, evidence."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from portal_cli import goals, options
from portal_cli.documents import Check
from portal_cli.errors import Misused
from portal_cli.options import Options
from portal_cli.session import Outcome, Session, run


@click.command("smoke-test")
@options.choosing
@options.deadline
@options.connecting
def smoke_test(**given: Any) -> None:
    """Wait for the smoke test of a release, and show its checks."""
    run(Options(**given), _smoke_test)


@click.command()
@options.choosing
@options.deadline
@options.connecting
def monitor(**given: Any) -> None:
    """Follow a canary until it is promoted or rolled back."""
    run(Options(**given), _monitor)


@click.command()
@options.choosing
@options.waiting(default=False)
@options.connecting
def status(**given: Any) -> None:
    """Show a release; with --wait follow it to its end."""
    run(Options(**given), _status)


@click.command()
@options.choosing
@options.option("--output", "-o", type=click.Path(dir_okay=False), default="-", help="File; - is stdout.")
@options.connecting
def evidence(output: str, **given: Any) -> None:
    """Write the whole record of a release as one JSON document."""
    wanted = Options(**{**given, "json": given["json"] or output == "-"})
    run(wanted, lambda session: _evidence(session, output))


def _smoke_test(session: Session) -> Outcome:
    release, _ = session.follow(session.find(), goals.smoke_tested)
    checks = [check for check in session.portal.checks(release.id) if check.stage == "smoke"]
    session.display.checks(checks)
    passed = _have_passed(checks)
    sentence = f"smoke test of {release.title} {'passed' if passed else 'failed'}"
    if not checks:
        sentence = f"there was no smoke test: {session.ending(release)}"
    elif passed and release.has_ended and release.phase != "succeeded":
        sentence += f"; later it {session.ending(release).partition(release.version)[2].strip()}"
    return Outcome(passed, sentence, checks=tuple(checks))


def _have_passed(checks: Sequence[Check]) -> bool:
    outcomes = {check.outcome for check in checks}
    return "pass" in outcomes and outcomes <= {"pass", "skipped"}


def _monitor(session: Session) -> Outcome:
    release, reached = session.follow(session.find(), goals.canary_passed)
    if release.waits_for_approval:
        given, required = release.approvals_given, release.approvals_required
        return Outcome(
            reached,
            f"the canary of {release.title} is good; it waits for approval: {given} of {required} given. "
            f"An approver who is not {release.requested_by} agrees on the page, or with: "
            f"portal approve --release {release.id}",
        )
    if release.phase == "promoting":
        return Outcome(reached, f"the canary of {release.title} passed; it is being promoted")
    return Outcome(reached, session.ending(release))


def _status(session: Session) -> Outcome:
    release = session.find()
    if session.options.wait:
        release, reached = session.follow(release, goals.promoted)
        return Outcome(reached, session.ending(release))
    session.follower.begin(release)
    session.follower.take(release)
    sentence = session.ending(release)
    if not release.has_ended:
        sentence += f" ({release.reason})"
    return Outcome(True, sentence)


def _evidence(session: Session, output: str) -> Outcome:
    release = session.find()
    record = session.portal.evidence(release.id)
    if output == "-":
        return Outcome(True, f"the record of {release.title} is on standard output", answer=record)
    try:
        Path(output).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Misused(f"{output} cannot be written: {error.strerror}.") from error
    return Outcome(True, f"the record of {release.title} is in {output}", answer=record)
