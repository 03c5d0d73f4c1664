"""One run of a command: makes what it needs, and tells person, CI system and `--json` how it ended."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from portal_cli import configuration, figures, summary, surroundings
from portal_cli.display import Display, display_for
from portal_cli.documents import Check, Release
from portal_cli.errors import (
    INTERRUPTED,
    NOT_REACHABLE,
    REACHED,
    REFUSED,
    CommandError,
    Misused,
    NotReachable,
    Refused,
    StillRunning,
    Unsure,
)
from portal_cli.follow import Follower, again
from portal_cli.goals import Goal
from portal_cli.http import Http, Patience
from portal_cli.options import Options
from portal_cli.plain import plain
from portal_cli.portal import Portal


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `answer` is what `--json` shows; by default the release."""

    reached: bool
    sentence: str
    answer: Any = None
    checks: tuple[Check, ...] = ()


Action = Callable[["Session"], Outcome]


@dataclass(slots=True)
class Session:
    """What a command works with."""

    options: Options
    environment: Mapping[str, str]
    portal: Portal
    display: Display
    follower: Follower
    release: Release | None = field(default=None)

    def known(self) -> Release | None:
        """The release as it was last seen."""
        story = self.follower.story
        if story is not None and (self.release is None or story.release.id == self.release.id):
            return story.release
        return self.release

    def find(self) -> Release:
        """The release that is meant; raises `Refused` when there is none, `Misused` when nobody can tell."""
        options = self.options
        if options.release:
            self.release = self.portal.release(options.release)
            return self.release
        if not (options.model_name and options.environment):
            raise Misused("Say which release: --release, or --model-name and --environment.")
        found = self.portal.newest(options.model_name, options.version, options.environment)
        if found is None:
            named = f"{options.model_name} {options.version or ''}".strip()
            raise Refused(f"There is no release of {named} to {options.environment}.", status=404)
        self.release = found
        return found

    def follow(self, release: Release, goal: Goal) -> tuple[Release, bool]:
        """Follow until the goal is decided."""
        self.release = release
        self.release, reached = self.follower.until(release, goal)
        return self.release, reached

    def ending(self, release: Release) -> str:
        """How it ended, in a sentence."""
        return figures.ending(release, self.follower.cause if release.phase != "succeeded" else "")


def run(options: Options, action: Action) -> None:
    """Do it and leave with its exit code."""
    environment = surroundings.variables()
    display = display_for(environment, json=options.json)
    with display:
        code = _run(options, action, environment, display)
    sys.stdout.flush()
    click.get_current_context().exit(code)


def _run(options: Options, action: Action, environment: Mapping[str, str], display: Display) -> int:
    session: Session | None = None
    http: Http | None = None
    try:
        http = _http(options, environment, display)
        session = _session(options, environment, display, Portal(http))
        outcome = action(session)
        _conclude(session, outcome)
        return REACHED if outcome.reached else REFUSED
    except CommandError as error:
        _fail(session, options, environment, display, error)
        return error.exit_code
    except Unsure as error:
        said = f"{error}. It is not known whether it was done; `portal status` shows how the release stands."
        _fail(session, options, environment, display, NotReachable(said))
        return NOT_REACHABLE
    except KeyboardInterrupt:
        _interrupted(session, options, display)
        return INTERRUPTED
    finally:
        if http is not None:
            http.close()


def _http(options: Options, environment: Mapping[str, str], display: Display) -> Http:
    who = configuration.connection(options.url, options.tenant, environment)
    patience = Patience(float(options.patience), time.monotonic, time.sleep, display.note)
    return Http(who, patience)


def _session(options: Options, environment: Mapping[str, str], display: Display, portal: Portal) -> Session:
    deadline = portal.http.patience.until = time.monotonic() + options.timeout
    follower = Follower(portal, display, deadline, options.timeout)
    return Session(options, environment, portal, display, follower)


def _conclude(session: Session, outcome: Outcome) -> None:
    """Tell the person, the CI system and the program behind the pipe."""
    release = session.known()
    link = "" if release is None else release.page
    session.display.end(outcome.sentence, reached=outcome.reached, link=link)
    if release is not None:
        told = (release, outcome.sentence, outcome.reached)
        _tell_ci(session.environment, session.display, *told, session.follower, outcome.checks)
    if session.options.json:
        _print_json(outcome.answer if outcome.answer is not None else release and release.document)


def _fail(
    session: Session | None,
    options: Options,
    environment: Mapping[str, str],
    display: Display,
    error: CommandError,
) -> None:
    release = None if session is None else session.known()
    reached = None if isinstance(error, StillRunning) else False
    display.end(str(error), reached=reached, link="" if release is None else release.page)
    if isinstance(error, Refused):
        for name, said in error.fields.items():
            if not str(error).startswith(f"{plain(name)}:"):
                display.note(f"{plain(name)}: {plain('; '.join(map(str, said)))}")
    follower = None if session is None else session.follower
    _tell_ci(environment, display, release, str(error), reached, follower)
    if options.json:
        _print_json(release.document if release is not None else error.to_json())


def _tell_ci(
    environment: Mapping[str, str],
    display: Display,
    release: Release | None,
    sentence: str,
    reached: bool | None,
    follower: Follower | None,
    checks: Sequence[Check] = (),
) -> None:
    """Outputs and summary of the job. A file that cannot be written does not change what was reached."""
    history = () if follower is None else follower.history
    text = summary.of_error(sentence)
    if release is not None:
        text = summary.of_release(release, sentence, reached=reached, history=history, checks=checks)
    try:
        if release is not None:
            surroundings.tell_outputs(environment, release)
        surroundings.tell_summary(environment, text)
    except OSError as error:
        display.note(f"the CI system cannot be told: {error}")


def _interrupted(session: Session | None, options: Options, display: Display) -> None:
    release = None if session is None else session.known()
    if release is None:
        sentence = "Interrupted before the portal had answered; the same command again finds what was filed."
        display.end(sentence, reached=None)
        return
    goes_on = "has ended" if release.has_ended else "goes on in the portal"
    sentence = f"Interrupted. The release {goes_on}; follow it with: {again(release)}"
    display.end(sentence, reached=None, link=release.page)
    if options.json:
        _print_json(release.document)


def _print_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
