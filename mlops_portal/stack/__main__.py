"""The command line of the embedded stack: `python -m mlops_portal.stack run|stop|status|logs|prepare`."""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import PROJECT
from mlops_portal.stack.outside import prepare
from mlops_portal.stack.progress import Terminal
from mlops_portal.stack.stack import Stack, starter_of

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived."""


def ask_to_end(number: int, frame: FrameType | None) -> None:
    """Turn the first signal into an exception; the stop that follows is not to be broken off."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise Ended


def state_folder() -> Path:
    """Where the state is: PORTAL_VAR, or `var/` of the project."""
    return Path(os.environ.get("PORTAL_VAR") or PROJECT / "var")


def run(stack: Stack) -> int:
    """Start everything, stay until asked to end, stop everything."""
    terminal = Terminal()
    for ending in ENDINGS:
        signal.signal(ending, ask_to_end)
    try:
        stack.start(terminal)  # cleans up after itself when it fails or is broken off
    except Ended:
        terminal.notice("stopped")
        return 0
    try:
        tell_addresses(stack, terminal)
        while stack.alive():
            time.sleep(0.5)
        sys.stderr.write("the supervisor has ended unexpectedly; stopping what is left\n")
        return 1
    except Ended:
        return 0
    finally:
        terminal.notice("stopping …")
        stack.stop()
        terminal.notice("stopped")


def tell_addresses(stack: Stack, terminal: Terminal) -> None:
    """Where everything answers, and the log-in of the first start."""
    environment = stack.environment()
    terminal.notice("")
    for label, name in (
        ("Dashboard", "PORTAL_URL"),
        ("Gateway", "GATEWAY_URL"),
        ("MLflow", "MLFLOW_TRACKING_URI"),
    ):
        if name in environment:
            terminal.notice(f"  {label:<10} {environment[name]}")
    terminal.notice(f"  {'Logs':<10} {stack.layout.log}")
    if stack.first_login:
        terminal.notice(f"\n{stack.first_login}")
    terminal.notice("\nCtrl-C stops everything.")


def stop(stack: Stack) -> int:
    """End a running stack through the process that runs it, or what it left behind."""
    starter = starter_of(stack.layout)
    if starter is None:
        stack.stop()
        return 0
    os.kill(starter, signal.SIGTERM)
    deadline = time.monotonic() + 90
    while starter_of(stack.layout) == starter:
        if time.monotonic() > deadline:
            raise StackError(f"process {starter} has not stopped the stack within 90 s")
        time.sleep(0.1)
    return 0


def status(stack: Stack) -> int:
    """A table of the programs; exit code 3 when the stack does not run."""
    if not stack.supervisor.answers():
        sys.stdout.write("not running\n")
        return 3
    table = Table("program", "state", "process", "description")
    for info in stack.supervisor.programs():
        table.add_row(info["name"], info["statename"], str(info["pid"] or ""), info["description"])
    Console().print(table)
    return 0


def logs(stack: Stack, program: str) -> int:
    """Follow the log of one program until Ctrl-C."""
    path = stack.layout.log_of(program)
    if not path.exists():
        known = ", ".join(sorted(log.stem for log in stack.layout.log.glob("*.log"))) or "none yet"
        raise StackError(f"there is no log of {program!r}; there is: {known}")
    os.execvp("tail", ["tail", "-n", "100", "-F", str(path)])  # noqa: S606, S607


def make_ready(stack: Stack) -> int:
    """Prepare a deployment whose engines run elsewhere."""
    sys.stdout.write(f"{prepare(stack)}\n")
    return 0


def main(arguments: list[str]) -> int:
    """Parse and carry out; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlops_portal.stack", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="start everything and stay until Ctrl-C")
    verbs.add_parser("stop", help="stop a running stack")
    verbs.add_parser("status", help="show the programs")
    verbs.add_parser("logs", help="follow a log").add_argument("program")
    verbs.add_parser("prepare", help="make ready what runs elsewhere, for example in containers")
    options = parser.parse_args(arguments)
    stack = Stack(state_folder())
    try:
        if options.verb == "logs":
            return logs(stack, options.program)
        return {"run": run, "stop": stop, "status": status, "prepare": make_ready}[options.verb](stack)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
