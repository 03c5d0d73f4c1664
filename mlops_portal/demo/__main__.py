"""`make demo`: starts the stack, trains, tells the story, and stays or (KEEP=0) ends with what came of it.

KEEP=0    end after the story; exit code 0 only if it came true and no process is left
FRESH=1   set the state of an earlier demo aside and begin with an empty one
"""

import sys
import time

from mlops_portal.demo.display import Teller
from mlops_portal.demo.portal import Ci, Person, cast_of
from mlops_portal.demo.report import Report
from mlops_portal.demo.running import command
from mlops_portal.demo.story import LIGHT_RATE, MODEL, VERSIONS, Story, endpoint_traffic
from mlops_portal.demo.training import Training
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.progress import Terminal
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import manage


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


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:], "python -m mlops_portal.demo", __doc__, Demo))
