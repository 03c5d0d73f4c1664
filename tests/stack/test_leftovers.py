"""Processes that an earlier run left behind are recognised by what they carry, never by number alone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops_portal.stack.leftovers import MARKER, PROGRAM, end_leftovers, postmaster, stack_processes

Spawn = Callable[..., "subprocess.Popen[bytes]"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a process that only waits, with these additions to its environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        script: str = "print(flush=True); import time; time.sleep(60)", **marks: str
    ) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **marks}
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()  # it runs, and its signal handlers are set
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_end_leftovers_ends_only_processes_of_this_stack(spawn: Spawn, tmp_path: Path) -> None:
    ours = spawn(**{MARKER: str(tmp_path)})
    neighbour = spawn(**{MARKER: f"{tmp_path}-2"})
    stranger = spawn()
    assert end_leftovers(tmp_path) == 1
    assert ours.wait(5) != 0
    assert neighbour.poll() is None
    assert stranger.poll() is None


def test_end_leftovers_kills_what_ignores_the_request(spawn: Spawn, tmp_path: Path) -> None:
    ours = spawn(STUBBORN, **{MARKER: str(tmp_path)})
    end_leftovers(tmp_path, patience=0.3)
    assert ours.wait(5) == -9
    assert stack_processes(tmp_path) == []


def test_postmaster_with_a_reused_process_id_is_nobody(spawn: Spawn, tmp_path: Path) -> None:
    stranger = spawn()
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n/somewhere\n")
    assert postmaster(tmp_path / "postgres") is None
    assert end_leftovers(tmp_path) == 0
    assert stranger.poll() is None


def test_launcher_ends_the_earlier_life_of_its_program_only(spawn: Spawn, tmp_path: Path) -> None:
    earlier = spawn(**{MARKER: str(tmp_path), PROGRAM: "mlflow"})
    other = spawn(**{MARKER: str(tmp_path), PROGRAM: "web"})
    command = [sys.executable, "-m", "mlops_portal.stack.launch", "mlflow", "/bin/echo", "new life"]
    project = Path(__file__).parents[2]
    result = subprocess.run(
        command, env={**os.environ, MARKER: str(tmp_path)}, cwd=project, capture_output=True, text=True
    )
    assert result.stdout == "new life\n"
    assert earlier.wait(5) == -9
    time.sleep(0.1)
    assert other.poll() is None
