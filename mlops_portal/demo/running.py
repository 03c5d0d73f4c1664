"""How a demo begins and ends: its options, its signals, its exit code. Must not know what is told."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import httpx

from mlops_portal.demo.display import Teller
from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.portal import cast_of
from mlops_portal.demo.report import Report
from mlops_portal.stack.__main__ import ENDINGS, Ended, ask_to_end, state_folder
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import Layout
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack, starter_of

PEOPLE = {"ada": "administrator", "ben": "approver", "cleo": "viewer"}
CAST = "demo.json"


class Telling(Protocol):
    """One run of a demo on one state folder."""

    stack: Stack
    teller: Teller

    @property
    def report(self) -> Report:
        """What came of it."""
        ...

    def tell(self) -> None:
        """Start everything and tell the story; raises `StoryFailed` or `StackError`."""
        ...

    def sum_up(self) -> None:
        """Times, and what did not come true."""
        ...

    def stay(self) -> None:
        """Go on until asked to end."""
        ...

    def end(self) -> None:
        """Stop everything; safe to repeat."""
        ...


def set_aside(layout: Layout) -> None:
    """Move the state of an earlier demo out of the way; nothing is deleted."""
    if not layout.var.exists():
        return
    if starter_of(layout) is not None or stack_processes(layout.var):
        raise StackError("the stack is running; stop it with `python -m mlops_portal.stack stop`")
    kept = layout.var.with_name(f"{layout.var.name}.{datetime.now():%Y-%m-%dT%H%M%S}")
    shutil.move(layout.var, kept)
    sys.stdout.write(f"The state so far is kept in {kept}.\n")


def run(demo: Telling, keep: bool) -> int:
    """Tell, sum up, stay or end; the exit code."""
    for ending in ENDINGS:
        signal.signal(ending, ask_to_end)
    is_told = False
    try:
        demo.tell()
        is_told = True
        demo.sum_up()
        if keep:
            demo.teller.plain(demo.report.last_line())
            tell_log_ins(demo)
            demo.stay()
    except Ended:
        demo.teller.plain("stopping …")
        keep = keep and is_told
    except (StoryFailed, StackError, httpx.HTTPError, OSError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\nLogs are in {demo.stack.layout.log}\n")
        is_told = False
    finally:
        demo.end()
    left = stack_processes(demo.stack.layout.var)
    if left:
        sys.stderr.write(f"processes are left behind: {', '.join(map(str, left))}\n")
    if is_told and not keep:
        demo.teller.plain(demo.report.last_line())
    return 0 if is_told and demo.report.came_true and not left else 1


def tell_log_ins(demo: Telling) -> None:
    """Where to look, and as whom."""
    file = demo.stack.layout.var / CAST
    cast = cast_of(file)
    demo.teller.plain(f"\n  Dashboard  {cast['portal']}/")
    for name, role in PEOPLE.items():
        demo.teller.plain(f"    {name:<6} {cast['users'][name]}   {role}")
    demo.teller.plain(f"  Gateway    {cast['gateway']}\n  MLflow     {cast['mlflow']}")
    demo.teller.plain(f"  Log-ins and token are kept in {file} (readable by you only).")
    demo.teller.plain("\nLight traffic goes on. Ctrl-C stops everything.")


def command(
    arguments: list[str], program: str, description: str | None, demo: Callable[[Stack], Telling]
) -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=os.environ.get("KEEP", "1") != "0",
        help="stay after the story until Ctrl-C (environment: KEEP)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        default=os.environ.get("FRESH", "0") == "1",
        help="set the state of an earlier demo aside (environment: FRESH)",
    )
    options = parser.parse_args(arguments)
    try:
        stack = Stack(state_folder())
        if options.fresh:
            set_aside(stack.layout)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return run(demo(stack), options.keep)
