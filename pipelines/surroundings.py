"""Where the running stack answers: from the environment, else from what a stack writes below its `var`.

A demo's stack has a token for pipelines in `var/demo.json`. Whoever runs `make run` makes one and says so in
the environment. Must not import the portal: a pipeline may run on another machine.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from serving.errors import Refused, Unreachable
from serving.portal import Portal

NEEDED = ("MLFLOW_TRACKING_URI", "FEATURE_STORE", "FEATURE_ONLINE_URL")
TOKEN = "ci-wine"  # noqa: S105 - the name of one
HOW_TO_START = "start one with `make run`, or with `make demo`"


@dataclass(frozen=True)
class Surroundings:
    """The portal, and the variables of `NEEDED`."""

    portal: Portal
    variables: Mapping[str, str]


def surroundings(environment: Mapping[str, str], var: Path) -> Surroundings:
    """What a pipeline needs; raises `Refused` and `Unreachable` with what a person can do about it."""
    written = read_variables(var / "stack.env")
    known = {**written, **{name: value for name, value in environment.items() if value}}
    missing = [name for name in ("PORTAL_URL", *NEEDED) if not known.get(name)]
    if missing:
        raise Refused(f"no stack has ever run in {var} ({', '.join(missing)} unknown): {HOW_TO_START}")
    portal = Portal.of({**access(var / "demo.json"), **known})
    if portal is None:
        raise Refused(
            "PORTAL_TOKEN and PORTAL_TENANT have to be set: make a token with "
            "`.venv/bin/python manage.py create_token main --name pipeline --role requester`"
        )
    expect_running(portal.url, var)
    return Surroundings(portal, {name: known[name] for name in NEEDED})


def expect_running(url: str, var: Path) -> None:
    """Raises `Unreachable` when the portal does not answer."""
    try:
        requests.get(f"{url}/healthz", timeout=5)
    except requests.RequestException as error:
        raise Unreachable(f"no stack is running in {var} ({url} does not answer): {HOW_TO_START}") from error


def read_variables(file: Path) -> dict[str, str]:
    """`KEY=value` lines, quoted for a shell; empty when there is no file."""
    if not file.exists():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines() if line)
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def access(file: Path) -> dict[str, str]:
    """The demo's tenant and token for pipelines; empty when there was no demo."""
    if not file.exists():
        return {}
    cast = json.loads(file.read_text())
    return {"PORTAL_TENANT": cast["tenant"], "PORTAL_TOKEN": cast["tokens"][TOKEN]}
