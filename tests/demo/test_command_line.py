"""`python -m mlops_portal.demo`: an earlier state is set aside, never deleted, never while it is used."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_portal.demo.running import set_aside
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import PROJECT, layout_of


def test_set_aside_keeps_the_earlier_state_beside(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "var")
    layout.prepare()
    (layout.var / "demo.json").write_text("{}")

    set_aside(layout)

    assert not layout.var.exists()
    (kept,) = tmp_path.glob("var.*")
    assert (kept / "demo.json").read_text() == "{}"


def test_set_aside_without_an_earlier_state_does_nothing(tmp_path: Path) -> None:
    set_aside(layout_of(tmp_path / "var"))

    assert list(tmp_path.iterdir()) == []


def test_set_aside_while_a_stack_uses_it_is_refused(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "var")
    layout.prepare()
    with layout.lock.open("w") as file:
        file.write("1\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)

        with pytest.raises(StackError, match="is running"):
            set_aside(layout)
    assert layout.var.exists()


def test_command_with_a_port_wanted_twice_says_so_and_fails(tmp_path: Path) -> None:
    ports = dict.fromkeys(("PORTAL_PORT", "GATEWAY_PORT", "MLFLOW_PORT"), "4711")
    ended = subprocess.run(
        [sys.executable, "-m", "mlops_portal.demo", "--no-keep"],
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(tmp_path / "var"), **ports},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    assert "the same port is wanted twice" in ended.stderr
    assert "Traceback" not in ended.stderr
