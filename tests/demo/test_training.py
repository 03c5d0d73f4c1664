"""The training as a child process: its models come one by one, its failures in words, its end for sure."""

import time
from pathlib import Path

import pytest

from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.training import Training


def training(tmp_path: Path, pipeline: str) -> Training:
    """With a shell script in place of the models' Python."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{pipeline}\n")
    python.chmod(0o755)
    environment = {"MODELS_PYTHON": str(tmp_path)}
    return Training(environment, tmp_path / "training.log", tmp_path / "rows.jsonl")


def test_training_gives_a_model_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    begun = training(tmp_path, """echo '{"kind": "baseline", "run_id": "r1"}'; exec sleep 60""")
    try:
        assert begun.run_of("baseline") == "r1"
    finally:
        began = time.monotonic()
        begun.stop()
    assert time.monotonic() - began < 10


def test_training_that_fails_says_where_to_look(tmp_path: Path) -> None:
    begun = training(tmp_path, "echo broken >&2; exit 3")

    with pytest.raises(StoryFailed, match=r"'baseline' was not trained.*exit code 3.*training\.log"):
        begun.run_of("baseline")
    assert (tmp_path / "training.log").read_text() == "broken\n"


def test_training_that_says_nonsense_fails_at_once(tmp_path: Path) -> None:
    begun = training(tmp_path, "echo nonsense")

    with pytest.raises(StoryFailed, match="was not trained"):
        begun.run_of("baseline")
    begun.stop()
