"""The whole stack by `run`: every program comes back after SIGKILL, and the end leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from mlops_portal.stack.addresses import read_environment_file
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import responds

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]
PROJECT = Path(__file__).parents[2]
PATIENCE = 120.0


def start(var: Path) -> tuple["subprocess.Popen[str]", str]:
    """`run` in the foreground; returns when it says that all is ready, with what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_portal.stack", "run"],
        env={"PATH": os.environ["PATH"], "PORTAL_VAR": str(var), "PORTS": "auto"},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C"):
            return process, said
    pytest.fail(f"the stack did not start:\n{said}")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def kill(stack: Stack, program: str) -> None:
    """SIGKILL the program and wait until another process runs in its place."""
    before = stack.pid_of(program)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid_of(program) not in (None, before))


def answering_workers(celery: Celery) -> set[str]:
    return {name for reply in celery.control.ping(timeout=1) or [] for name in reply}


def test_run_survives_the_death_of_each_portal_program(var: Path) -> None:
    process, said = start(var)
    try:
        environment = read_environment_file(var / "stack.env")
        assert environment["PORTAL_URL"] in said
        socket = environment["REDIS_URL"].removeprefix("unix://").partition("?")[0]
        celery = Celery(broker=f"redis+socket://{socket}")
        for program in ("web", "worker-control", "worker-heavy", "beat"):
            kill(Stack(var, given={}), program)
        wait_until(lambda: responds(environment["PORTAL_URL"] + "/healthz"))
        wait_until(lambda: answering_workers(celery) == {"control@portal", "heavy@portal"})
    finally:
        process.send_signal(signal.SIGTERM)
        end, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert end.endswith("stopped\n")
    assert stack_processes(var) == []


def test_run_prints_the_log_in_of_the_administrator_at_the_first_start_only(var: Path) -> None:
    told = []
    for _ in range(2):
        process, said = start(var)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        told.append(re.search(r"password", said, re.IGNORECASE) is not None)
    assert told == [True, False]
