"""Commands that act on a release: promote, rollback, approve.

An act is repeated only after looking at the release again: when the answer of an act is lost, nobody knows
whether it was done. Row versions make each act one on the release as it was seen.
"""

import sys
from typing import Any

import click

from portal_cli import goals, options
from portal_cli.documents import BEFORE_TRAFFIC, Release
from portal_cli.errors import NotReachable, Refused, Unsure
from portal_cli.options import Options
from portal_cli.session import Outcome, Session, run

ATTEMPTS = 5
_MOVED_ON = frozenset({"row_version", "not_possible_now", "decided_already"})


@click.command()
@options.choosing
@options.waiting()
@options.option(
    "--reason", default="promoted with the command line", show_default=True, help="For the record."
)
@options.connecting
def promote(reason: str, **given: Any) -> None:
    """End the hold of a canary now; wait until it is stable."""
    run(Options(**given), lambda session: _promote(session, reason))


@click.command()
@options.choosing
@options.waiting()
@options.option(
    "--reason", default="rolled back with the command line", show_default=True, help="For the record."
)
@options.connecting
def rollback(reason: str, **given: Any) -> None:
    """Abort a release, or go back from one that succeeded."""
    run(Options(**given), lambda session: _rollback(session, reason))


@click.command()
@options.choosing
@options.option("--comment", default="", help="Stays in the record.")
@options.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@options.connecting
def approve(comment: str, yes: bool, **given: Any) -> None:
    """Agree to the plan and the digest that are shown."""
    run(Options(**given), lambda session: _approve(session, comment, yes))


# ---- promote ---------------------------------------------------------------------------------------
def _promote(session: Session, reason: str) -> Outcome:
    release = session.find()
    if release.phase in BEFORE_TRAFFIC:
        return Outcome(
            False,
            f"{release.title} has no traffic yet ({release.reason}); there is nothing to promote. "
            "`portal monitor` waits for it.",
        )
    session.follower.begin(release)
    release = _end_hold(session, release, reason)
    if not session.options.wait:
        return Outcome(True, session.ending(release))
    release, reached = session.follow(release, goals.promoted)
    return Outcome(reached, session.ending(release))


def _end_hold(session: Session, release: Release, reason: str) -> Release:
    """End the hold of the step that the release is in, once; later steps have holds of their own."""
    step = release.step
    for _ in range(ATTEMPTS):
        if release.phase not in ("canary", "paused") or release.step != step:
            return release
        try:
            body = {"reason": reason, "row_version": release.row_version}
            return session.portal.act(release.id, "promote", body)
        except Unsure as error:
            session.display.note(f"{error}; looking whether it was done")
        except Refused as error:
            if error.code not in _MOVED_ON:
                raise
        release = session.portal.release(release.id)
    raise NotReachable("The release cannot be promoted: it changes, or the answer is lost, each time.")


# ---- rollback --------------------------------------------------------------------------------------
def _rollback(session: Session, reason: str) -> Outcome:
    release = session.find()
    session.follower.begin(release)
    for _ in range(ATTEMPTS):
        if release.phase == "succeeded":
            return _go_back(session, release, reason)
        if release.has_ended or release.phase == "rolling_back":
            break
        try:
            release = session.portal.act(release.id, "abort", {"reason": reason})
            break
        except Unsure as error:
            session.display.note(f"{error}; looking whether it was done")
        except Refused as error:
            if error.code not in _MOVED_ON:
                raise
        release = session.portal.release(release.id)
    else:
        raise NotReachable("The release cannot be aborted: the answer is lost each time.")
    if not session.options.wait:
        return Outcome(True, f"{release.title}: the rollback is asked for")
    release, reached = session.follow(release, goals.withdrawn)
    return Outcome(reached, session.ending(release))


def _go_back(session: Session, left: Release, reason: str) -> Outcome:
    """All traffic back to the version before `left`, by a release of its own."""
    back: Release | None = None
    for _ in range(ATTEMPTS):
        serving = session.portal.endpoint(left.environment, left.model) or {}
        if serving.get("stable") != left.version:
            now = str(serving.get("stable") or "nothing")
            return Outcome(
                True, f"{left.model} {left.version} does not serve {left.environment} any more: {now} does"
            )
        try:
            back = session.portal.go_back(left.environment, left.model, reason)
            break
        except Unsure as error:
            session.display.note(f"{error}; looking whether it was done")
        except Refused as error:
            back = _return_under_way(session, error, str(serving.get("previous") or ""))
            if back is None:
                raise
            break
    if back is None:
        raise NotReachable("The rollback cannot be asked for: the answer is lost each time.")
    session.release = back
    if not session.options.wait:
        return Outcome(True, f"{back.title}: the way back is asked for")
    back, reached = session.follow(back, goals.promoted)
    was = f"{left.model} {left.version} was rolled back in {left.environment}: " if reached else ""
    return Outcome(reached, f"{was}{session.ending(back)}")


def _return_under_way(session: Session, error: Refused, previous: str) -> Release | None:
    """The release that goes back already, if that is what stands in the way."""
    if error.code != "release_active" or not error.state.get("release"):
        return None
    found = session.portal.release(str(error.state["release"]))
    return found if previous and found.version == previous else None


# ---- approve ---------------------------------------------------------------------------------------
def _approve(session: Session, comment: str, is_agreed: bool) -> Outcome:
    release = session.find()
    session.display.facts("You agree to", _described(release))
    session.display.checks(session.portal.checks(release.id))
    is_asked = sys.stdin.isatty() and sys.stderr.isatty() and not is_agreed
    if is_asked and not click.confirm("Approve?", err=True):
        return Outcome(False, "not approved")
    body = {"comment": comment, "row_version": release.row_version}
    try:
        after = session.portal.act(release.id, "approve", body)
    except Unsure as error:
        session.display.note(f"{error}; looking whether it was done")
        after = session.portal.release(release.id)
        if after.row_version == release.row_version:
            after = session.portal.act(release.id, "approve", body)
        elif after.approvals_given <= release.approvals_given and after.phase == release.phase:
            raise Refused("The release has changed since it was shown; look at it again.") from error
    session.release = after
    given = f"{after.approvals_given} of {after.approvals_required} approvals given"
    return Outcome(True, f"{after.title}: approved, {given}")


def _described(release: Release) -> list[tuple[str, str]]:
    """What somebody agrees to."""
    return [
        ("release", release.id),
        ("model", f"{release.model} {release.version}"),
        ("environment", release.environment),
        ("replaces", release.stable or "nothing: the first version there"),
        ("digest", release.digest or "not known"),
        ("plan", release.plan_in_words),
        ("filed by", release.requested_by),
        ("approvals", f"{release.approvals_given} of {release.approvals_required}"),
        ("page", release.page),
    ]
