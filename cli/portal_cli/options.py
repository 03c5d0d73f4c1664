"""The options of all commands: one name each, one environment variable each, one meaning everywhere."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from portal_cli.errors import Misused
from portal_cli.http import PATIENCE_SECONDS
from portal_cli.surroundings import LONGEST_KEY

Command = TypeVar("Command", bound=Callable[..., Any])
RELEASE_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
TIMEOUT_SECONDS = 7_200
TRAFFIC_PERCENT = 10
DURATION_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for; a command that lacks an option has its default here."""

    url: str | None = None
    tenant: str | None = None
    patience: int = int(PATIENCE_SECONDS)
    json: bool = False
    model_name: str | None = None
    version: str | None = None
    environment: str | None = None
    release: str | None = None
    traffic: int | None = None
    duration: int | None = None
    error_threshold: float | None = None
    note: str = ""
    idempotency_key: str | None = None
    commit_repository: str | None = None
    commit_sha: str | None = None
    commit_status: bool = False
    wait: bool = False
    timeout: int = TIMEOUT_SECONDS

    def what(self) -> tuple[str, str, str]:
        """Model, version and environment, for a release that is to be filed."""
        names = {
            "--model-name": self.model_name,
            "--version": self.version,
            "--environment": self.environment,
        }
        missing = [name for name, value in names.items() if not value]
        if missing:
            raise Misused(f"Say what to release where: {', '.join(missing)} is missing.")
        return self.model_name or "", self.version or "", self.environment or ""

    def straight(self) -> dict[str, Any]:
        """A plan without a canary."""
        return {"steps": [], **self._rules()}

    def canary(self) -> dict[str, Any]:
        """A plan with one step; what is not given is 10 % for 300 s."""
        if self.traffic == 100:
            return self.straight()
        weight = TRAFFIC_PERCENT if self.traffic is None else self.traffic
        held = DURATION_SECONDS if self.duration is None else self.duration
        return {"steps": [{"weight": weight, "hold_seconds": held}], **self._rules()}

    def as_the_environment_says(self) -> dict[str, Any]:
        """The environment's own plan, save for what is given."""
        if self.traffic is None and self.duration is None:
            return self._rules()
        return self.canary()

    def _rules(self) -> dict[str, Any]:
        return {} if self.error_threshold is None else {"rules": {"error_rate_max": self.error_threshold}}


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("has to be a number from 0 to 1, as in 0.01 for 1 %.")
    return value


def _is_release(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None and os.environ.get("PORTAL_RELEASE") == "":
        raise click.UsageError(
            "PORTAL_RELEASE is set and empty: the step that should have filed the release gave none. Another "
            "release of the same model is not meant; unset the variable to have the newest."
        )
    if value is not None and not RELEASE_ID.fullmatch(value):
        raise click.BadParameter("is no release's id; one looks like 01JD8M3Q2N9V5T7X4B6C1A0ZEH.")
    return value


def _is_key(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value and not (value.isascii() and value.isprintable() and len(value) <= LONGEST_KEY):
        raise click.BadParameter(f"has to be at most {LONGEST_KEY} plain characters.")
    return value or None


def _no_replicas(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "--replicas is no part of a release: how many servers run a model is the environment's policy, "
            "so that a release cannot change what it costs. An administrator sets it for each model on the "
            "environment's page under Autoscaling, or with PATCH environments/{environment}/ "
            '{"autoscaling": {"models": {"<model>": {"min_replicas": 3}}}}.'
        )


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that is also the environment variable PORTAL_<NAME>."""
    long = next(name for name in names if name.startswith("--")).split("/")[0]
    variable = "PORTAL_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **settings)


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorated(command: Command) -> Command:
        for decorate in reversed(options):
            command = decorate(command)
        return command

    return decorated


def connecting(command: Command) -> Command:
    """Where the portal is, how patient to be, and how to answer."""
    decorate: Callable[[Command], Command] = _all(
        option("--url", help="Address of the portal."),
        option("--tenant", help="The tenant's name in addresses."),
        option(
            "--patience",
            type=click.IntRange(min=0),
            default=int(PATIENCE_SECONDS),
            show_default=True,
            help="Seconds of trouble in a row before giving up (exit code 3).",
        ),
        option("--json", is_flag=True, help="One JSON document on standard output; the rest on stderr."),
    )
    return decorate(command)


def naming(environment: str | None = None) -> Callable[[Command], Command]:
    """Model, version, environment."""
    return _all(
        option("--model-name", help="The model, as the portal names it."),
        option("--version", help="The semantic version, as in 1.4.0."),
        option("--environment", default=environment, show_default=True, help="Where it is to serve."),
    )


def choosing(command: Command) -> Command:
    """An existing release: by its id, or the newest of a model in an environment."""
    chosen = option(
        "--release",
        callback=_is_release,
        help="Its id. Without: the newest of --model-name, --version and --environment.",
    )
    return chosen(naming()(command))


def planning(command: Command) -> Command:
    """The plan of a release."""
    decorate: Callable[[Command], Command] = _all(
        option("--traffic", type=click.IntRange(1, 100), help="Percent for the candidate; 100: no canary."),
        option("--duration", type=click.IntRange(min=0), help="Seconds of the canary."),
        option(
            "--error-threshold",
            type=click.FloatRange(0, 1),
            callback=_finite,
            help="Largest share of errors, as in 0.01; without it the environment's.",
        ),
        option("--replicas", callback=_no_replicas, expose_value=False, hidden=True),
    )
    return decorate(command)


def filing(command: Command) -> Command:
    """What goes with a release that is filed."""
    decorate: Callable[[Command], Command] = _all(
        option("--note", default="", help="Shown with the release."),
        option(
            "--idempotency-key",
            callback=_is_key,
            help="The same key and content is the same release. Without: of the CI run, or a new one.",
        ),
        option("--commit-status", is_flag=True, help="Tell GITHUB_SHA's status as the release goes on."),
        option("--commit-repository", help="owner/name of the commit to tell instead."),
        option("--commit-sha", help="Its 40 digits."),
    )
    return decorate(command)


def waiting(default: bool = True) -> Callable[[Command], Command]:
    """Whether to wait, and how long."""
    return _all(
        option("--wait/--no-wait", default=default, show_default=True, help="Wait for the outcome."),
        deadline,
    )


def deadline(command: Command) -> Command:
    """How long to wait."""
    limit = option(
        "--timeout",
        type=click.IntRange(min=0),
        default=TIMEOUT_SECONDS,
        show_default=True,
        help="Seconds to wait; then exit code 4, and the release goes on.",
    )
    return limit(command)
