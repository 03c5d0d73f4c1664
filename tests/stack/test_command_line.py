"""`python -m mlops_portal.stack` as a person uses it: exit codes, messages, signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack, starter_of

PROJECT = Path(__file__).parents[2]
REDIS_ONLY = {"PATH": os.environ["PATH"], "PORTS": "auto"}


def command(var: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line on the stack in `var`."""
    return subprocess.run(
        [sys.executable, "-m", "mlops_portal.stack", *arguments],
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(var), **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_run_beside_a_running_stack_says_so_and_leaves_it_alone(var: Path) -> None:
    with Stack(var, given=REDIS_ONLY, services=("redis",)) as running:
        before = running.pid_of("redis")
        result = command(var, "run", PORTS="auto")
        assert result.returncode == 1
        assert f"running already (process {os.getpid()})" in result.stderr
        assert running.pid_of("redis") == before


def test_run_with_a_taken_port_says_which_and_starts_nothing(var: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = str(server.getsockname()[1])
        result = command(var, "run", PORTS="auto", PORTAL_PORT=port)
    assert result.returncode == 1
    assert f"port {port} is taken; set PORTAL_PORT=" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (var / "postgres").exists()
    assert stack_processes(var) == []


def test_status_of_a_running_stack_names_its_programs(var: Path) -> None:
    with Stack(var, given=REDIS_ONLY, services=("redis",)) as running:
        pid = running.pid_of("redis")
        result = command(var, "status")
    assert result.returncode == 0
    (line,) = [line for line in result.stdout.splitlines() if "redis" in line]
    assert str(pid) in line


def test_status_without_a_stack_is_not_running(var: Path) -> None:
    result = command(var, "status")
    assert (result.returncode, result.stdout) == (3, "not running\n")


def test_logs_of_an_unknown_program_name_the_known(var: Path) -> None:
    (var / "log").mkdir()
    (var / "log" / "redis.log").write_text("ready\n")
    result = command(var, "logs", "kafka")
    assert result.returncode == 1
    assert "'kafka'; there is: redis" in result.stderr


def test_prepare_without_outside_engines_names_what_is_missing(var: Path) -> None:
    result = command(var, "prepare", DATABASE_URL="postgresql://db/x")
    assert result.returncode == 1
    assert "set REDIS_URL, MLFLOW_TRACKING_URI, PORTAL_SECRET_KEY" in result.stderr


@pytest.mark.stack
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_broken_off_while_it_starts_leaves_no_process(var: Path, ending: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_portal.stack", "run"],
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(var), "PORTS": "auto"},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(stack_processes(var)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert starter_of(Stack(var, given={}).layout) == process.pid
    process.send_signal(ending)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.endswith("stopped\n")
    assert stack_processes(var) == []
