"""What is written down to be copied is what the command takes."""

import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings

from portal_cli.main import run

WRITTEN = ["docs/ci.md", "cli/README.md", "README.md", ".github/workflows/model-deployment.yaml"]
COMMAND = re.compile(r"^\s*(?:- |run: )?(portal [a-z-]+[^`|\n]*?)(?:;.*)?$", re.MULTILINE)


def commands() -> list[str]:
    """Every line that calls `portal`, with what a shell would put in for variables."""
    found = []
    for name in WRITTEN:
        text = (Path(settings.BASE_DIR) / name).read_text()
        found += [re.sub(r"\$\w+", "1", line.split(" #")[0]) for line in COMMAND.findall(text)]
    return found


@pytest.mark.parametrize("line", commands())
def test_command_in_the_documents_is_one_that_the_client_knows(line: str) -> None:
    _, *arguments = shlex.split(line)
    assert run([*arguments, "--help"]) == 0


def test_documents_show_a_command_of_each_step() -> None:
    shown = {shlex.split(line)[1] for line in commands()}
    assert {
        "validate",
        "deploy",
        "smoke-test",
        "canary",
        "monitor",
        "promote",
        "rollback",
        "release",
    } <= shown
