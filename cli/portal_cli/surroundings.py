"""What runs the command: a person's terminal or a CI system, and what that wants to be told.

Reads environment variables that are given to it, and appends to the two files that GitHub's runner names.
"""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from portal_cli.documents import Release

LONGEST_KEY = 255


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether a CI system runs this; they all set CI."""
    return environment.get("CI", "").lower() not in ("", "0", "false", "no")


def is_for_eyes(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether somebody looks at a terminal that can move its cursor."""
    return stream.isatty() and not is_ci(environment) and environment.get("TERM", "") != "dumb"


def idempotency_key(environment: Mapping[str, str], model: str, version: str, place: str) -> str:
    """The same for each attempt of the same job, new for whoever calls by hand."""
    for run, attempt in (("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"), ("CI_PIPELINE_ID", "CI_JOB_ID")):
        if environment.get(run):
            parts = (environment[run], environment.get(attempt) or "1", model, version, place)
            key = "-".join(parts).encode("ascii", "replace").decode()  # it goes into a header
            return key[:LONGEST_KEY]
    return str(uuid.uuid4())


def commit(environment: Mapping[str, str]) -> dict[str, str] | None:
    """The commit that GitHub's runner works on."""
    repository, sha = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_SHA", "")
    return {"repository": repository, "sha": sha} if repository and sha else None


def tell_outputs(environment: Mapping[str, str], release: Release) -> None:
    """Set the outputs `release`, `phase` and `url` of the step."""
    values = {"release": release.id, "phase": release.phase, "url": release.page}
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    _append(environment.get("GITHUB_OUTPUT", ""), text)


def tell_summary(environment: Mapping[str, str], text: str) -> None:
    """Add a section to the job's summary."""
    _append(environment.get("GITHUB_STEP_SUMMARY", ""), text)


def _append(path: str, text: str) -> None:
    if path:
        with Path(path).open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)


def variables() -> Mapping[str, str]:
    """Those of this process."""
    return os.environ
