"""Commands that file a release: validate (files nothing), deploy, canary, release."""

from collections.abc import Mapping
from typing import Any

import click

from portal_cli import figures, goals, options, surroundings
from portal_cli.documents import Release
from portal_cli.errors import Misused, Refused
from portal_cli.goals import Goal
from portal_cli.options import Options
from portal_cli.plain import plain
from portal_cli.session import Outcome, Session, run


@click.command()
@options.naming("staging")
@options.planning
@options.filing
@options.connecting
def validate(**given: Any) -> None:
    """Check that a release could be filed, and file nothing."""
    run(Options(**given), _validate)


@click.command()
@options.naming("staging")
@options.planning
@options.filing
@options.waiting()
@options.connecting
def deploy(**given: Any) -> None:
    """Release straight to all traffic; to staging by default."""
    wanted = Options(**given)
    run(wanted, lambda session: _file(session, wanted.straight(), goals.promoted))


@click.command()
@options.naming()
@options.planning
@options.filing
@options.waiting()
@options.connecting
def canary(**given: Any) -> None:
    """File a release with a canary; wait until it gets traffic."""
    wanted = Options(**given)
    run(wanted, lambda session: _file(session, wanted.canary(), goals.on_candidate))


@click.command()
@options.naming()
@options.planning
@options.filing
@options.waiting()
@options.connecting
def release(**given: Any) -> None:
    """All in one: file a release and follow it to its end.

    Without --traffic and --duration it goes by the environment's own plan."""
    wanted = Options(**given)
    run(wanted, lambda session: _file(session, wanted.as_the_environment_says(), goals.promoted))


def _validate(session: Session) -> Outcome:
    model, version, environment = session.options.what()
    plan = session.options.as_the_environment_says()
    found = session.portal.version(model, version)
    forecast = session.portal.forecast(_body(session, plan))
    serving = session.portal.endpoint(environment, model) or {}
    metrics = found.get("metrics")
    measured = metrics.items() if isinstance(metrics, Mapping) else ()
    facts = [
        ("version", plain(found.get("version"))),
        ("digest", plain(found.get("digest") or "not known before its artifact has been fetched")),
        ("run", plain(found.get("run_id"))),
        ("metrics", ", ".join(f"{plain(name, 60)} {plain(value, 20)}" for name, value in measured) or "none"),
        ("serving now", plain(serving.get("stable") or "nothing")),
        ("forecast", plain(forecast.get("sentence", ""))),
    ]
    session.display.facts(f"{plain(model)} {plain(version)} → {plain(environment)}", facts)
    _check_place(serving, version, environment)
    sentence = f"{plain(model)} {plain(version)} can be released to {plain(environment)}"
    if serving.get("stable") == version:
        sentence = f"{plain(model)} {plain(version)} is stable in {plain(environment)} already"
    return Outcome(True, sentence, answer={"version": found, "forecast": forecast})


def _check_place(serving: Mapping[str, Any], version: str, environment: str) -> None:
    """Raise what filing would answer now."""
    hold, candidate = serving.get("hold"), serving.get("candidate")
    if isinstance(hold, Mapping) and hold.get("version") == version:
        raise Refused(
            f"{plain(version)} is on hold in {plain(environment)}: {plain(hold.get('reason'))}. "
            "Lift the hold first.",
            status=409,
        )
    if candidate and candidate != version:
        raise Refused(
            f"{plain(candidate)} is being released to {plain(environment)}; wait for its end or abort it.",
            status=409,
        )


def _file(session: Session, plan: Mapping[str, Any], goal: Goal) -> Outcome:
    model, version, environment = session.options.what()
    key = session.options.idempotency_key or surroundings.idempotency_key(
        session.environment, model, version, environment
    )
    try:
        filed = session.portal.file(_body(session, plan), key)
    except Refused as error:
        present = _present(session, error)
        if present is None:
            raise
        filed = present
    session.release = filed
    if not session.options.wait:
        session.follower.begin(filed)
        session.follower.take(filed)
        return Outcome(True, f"{filed.title} is filed: {figures.phase_in_words(filed.phase)}")
    filed, reached = session.follow(filed, goal)
    return Outcome(reached, _sentence(session, filed))


def _sentence(session: Session, release: Release) -> str:
    if not release.has_ended and release.phase in ("canary", "paused"):
        return f"{release.model} {release.version} gets {release.candidate_share} % of the traffic"
    return session.ending(release)


def _present(session: Session, error: Refused) -> Release | None:
    """The release of the very version that is there already, or under way: a command may be repeated."""
    model, version, environment = session.options.what()
    if error.code == "release_active" and error.state.get("version") == version:
        found = session.portal.release(str(error.state.get("release")))
        session.display.note(f"this version is being released there already; following {found.id}")
        return found
    if error.code == "already_stable":
        newest = session.portal.newest(model, version, environment)
        if newest is not None and newest.phase == "succeeded":
            session.display.note(f"{version} is stable there already")
            return newest
    return None


def _body(session: Session, plan: Mapping[str, Any]) -> dict[str, Any]:
    model, version, environment = session.options.what()
    body: dict[str, Any] = {"model": model, "version": version, "environment": environment}
    if plan:
        body["plan"] = plan
    if session.options.note:
        body["note"] = session.options.note
    if told := _commit(session):
        body["commit"] = told
    return body


def _commit(session: Session) -> dict[str, str] | None:
    repository, sha = session.options.commit_repository, session.options.commit_sha
    if bool(repository) != bool(sha):
        raise Misused("--commit-repository and --commit-sha belong together.")
    if repository and sha:
        return {"repository": repository, "sha": sha}
    if not session.options.commit_status:
        return None
    found = surroundings.commit(session.environment)
    if found is None:
        raise Misused(
            "--commit-status needs GITHUB_REPOSITORY and GITHUB_SHA, or --commit-repository and --commit-sha."
        )
    return found
