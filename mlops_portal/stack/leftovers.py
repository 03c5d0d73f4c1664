"""Processes of a stack that nobody watches any more, recognised by what they carry.

Every process under the stack's supervisor inherits a marker in its environment. The kernel tells
that environment as it was at the start, so a reused process id is never taken for ours. Uses
nothing but /proc: the launcher imports it at every start of a program.
"""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

MARKER = "PORTAL_STACK"  # its value is the stack's var folder
PROGRAM = "PORTAL_STACK_PROGRAM"


def processes_with(mark: Mapping[str, str]) -> list[int]:
    """Ids of the living processes, this one apart, whose environment contains `mark`."""
    wanted = {os.fsencode(f"{key}={value}") for key, value in mark.items()}
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid() and wanted <= environment_of(int(entry)):
            found.append(int(entry))
    return found


def environment_of(pid: int) -> set[bytes]:
    """The `KEY=value` strings the process was started with; empty for zombies and for strangers."""
    try:
        return set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def stack_processes(var: Path) -> list[int]:
    """Living processes of the stack in `var`, under its supervisor or orphaned."""
    marked = processes_with({MARKER: str(var)})
    master = postmaster(var / "postgres")
    return marked if master is None or master in marked else [*marked, master]


def end_leftovers(var: Path, patience: float = 20.0) -> int:
    """End all processes of the stack in `var`: supervisor first, the database gently. Returns how many."""
    first = stack_processes(var)
    if not first:
        return 0
    # Killed first, because it would start again what we end.
    for pid in first:
        if is_supervisor(pid):
            send(pid, signal.SIGKILL)
    master = postmaster(var / "postgres")
    for pid in first:
        # SIGINT is PostgreSQL's fast shutdown: it disconnects everybody and writes its checkpoint.
        send(pid, signal.SIGINT if pid == master else signal.SIGTERM)
    deadline = time.monotonic() + patience
    while (alive := stack_processes(var)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in alive:
        send(pid, signal.SIGKILL)
    while stack_processes(var) and time.monotonic() < deadline + 5:
        time.sleep(0.05)
    return len(first)


def is_supervisor(pid: int) -> bool:
    """Whether this marked process is the stack's supervisord."""
    return any(argument.endswith(b"supervisord.conf") for argument in command_line(pid))


def postmaster(data: Path) -> int | None:
    """The living PostgreSQL master of this data folder, if its pid file tells the truth."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(data) in command_line(pid) else None


def command_line(pid: int) -> list[bytes]:
    """The arguments of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
