"""`make demo`: starts the stack, trains, tells the story, and stays or (KEEP=0) ends with what came of it.

KEEP=0    end after the story; exit code 0 only if it came true and no process is left
FRESH=1   set the state of an earlier demo aside and begin with an empty one
"""

import argparse
import os
import shutil
import signal
import sys
import time
from datetime import datetime

import httpx

from mlops_portal.demo.display import Teller
from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.portal import Ci, Person, cast_of
from mlops_portal.demo.report import Report
from mlops_portal.demo.story import LIGHT_RATE, MODEL, VERSIONS, Story, endpoint_traffic
from mlops_portal.demo.training import Training
from mlops_portal.stack.__main__ import ENDINGS, Ended, ask_to_end, state_folder
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import Layout
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.progress import Terminal
from mlops_portal.stack.stack import Stack, starter_of
from mlops_portal.stack.steps import manage

PEOPLE = {"ada": "administrator", "ben": "approver", "cleo": "viewer"}


class StartProgress(Terminal):
    """Begins the training as soon as the addresses of the starting stack are known."""

    def __init__(self, demo: "Demo") -> None:
        super().__init__()
        self._demo = demo

    def begin(self, label: str, position: int, total: int) -> None:
        """The first step begins when all ports have been chosen."""
        if position == 1 and not self._demo.was_told_before:
            self._demo.train(models=True)
        super().begin(label, position, total)


class Demo:
    """One run of `make demo` on one state folder."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.cast_file = stack.layout.var / "demo.json"
        self.was_told_before = self.cast_file.exists()
        self.report = Report()
        self.teller = Teller()
        self.training: Training | None = None
        self.story: Story | None = None

    def train(self, models: bool) -> Training:
        """Begin the training, once."""
        if self.training is None:
            layout = self.stack.layout
            log, rows = layout.log_of("demo-training"), layout.var / "demo-requests.jsonl"
            self.training = Training(self.stack.environment(), log, rows, models)
        return self.training

    def tell(self) -> None:
        """Start everything and tell the story; raises `StoryFailed` or `StackError`."""
        began = time.monotonic()
        with self.report.part("start of the stack"):
            self.stack.start(StartProgress(self))
        with self.report.part("the cast"):
            manage(self.stack, "demo_cast")
            cast = cast_of(self.cast_file)
            ci, ben = Ci(cast), Person(cast, "ben")
        has_all = {version for version, _, _ in VERSIONS.values()} <= ci.versions(MODEL)
        self.teller.plain(f"\nDashboard {cast['portal']}/   log-ins are in {self.cast_file}")
        with self.teller as teller:
            self.story = Story(
                ci, ben, lambda: self.train(models=not has_all), self.running_models, teller, self.report
            )
            self.story.tell()
        self.report.total_seconds = time.monotonic() - began

    def running_models(self) -> set[str]:
        """The programs of the supervisor that have a process."""
        return {info["name"] for info in self.stack.supervisor.programs() if info["pid"]}

    def sum_up(self) -> None:
        """Times, expectations, who failed."""
        self.teller.times(self.report.parts, self.report.total_seconds)
        for sentence in self.report.failed_expectations:
            self.teller.plain(f"did not come true: {sentence}")
        self.teller.plain(self.report.failures_by_version())
        self.teller.plain(self.report.slower_line())

    def tell_log_ins(self) -> None:
        """Where to look, and as whom."""
        cast = cast_of(self.cast_file)
        self.teller.plain(f"\n  Dashboard  {cast['portal']}/")
        for name, role in PEOPLE.items():
            self.teller.plain(f"    {name:<6} {cast['users'][name]}   {role}")
        self.teller.plain(f"  Gateway    {cast['gateway']}\n  MLflow     {cast['mlflow']}")
        self.teller.plain(f"  Log-ins and token are kept in {self.cast_file} (readable by you only).")
        self.teller.plain("\nLight traffic goes on. Ctrl-C stops everything.")

    def stay(self) -> None:
        """Keep a little traffic going until asked to end."""
        if self.story is None or self.training is None:
            return
        self.story.stop_traffic()
        traffic = endpoint_traffic(self.story.ci, self.training.rows, LIGHT_RATE)
        traffic.start()
        while self.stack.alive():
            time.sleep(0.5)
        raise StackError("the supervisor has ended unexpectedly")

    def end(self) -> None:
        """Stop traffic, training and stack; safe to repeat."""
        if self.story is not None:
            self.story.stop_traffic()
        if self.training is not None:
            self.training.stop()
        self.stack.stop()


def set_aside(layout: Layout) -> None:
    """Move the state of an earlier demo out of the way; nothing is deleted."""
    if not layout.var.exists():
        return
    if starter_of(layout) is not None or stack_processes(layout.var):
        raise StackError("the stack is running; stop it with `python -m mlops_portal.stack stop`")
    kept = layout.var.with_name(f"{layout.var.name}.{datetime.now():%Y-%m-%dT%H%M%S}")
    shutil.move(layout.var, kept)
    sys.stdout.write(f"The state so far is kept in {kept}.\n")


def run(demo: Demo, keep: bool) -> int:
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
            demo.tell_log_ins()
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


def main(arguments: list[str]) -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m mlops_portal.demo", description=__doc__)
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
    return run(Demo(stack), options.keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
