"""`make demo-serving`: starts the stack, releases models with everything that can run beside them, tells it.

KEEP=0    end after the story; exit code 0 only if it came true and no process is left
FRESH=1   set the state of an earlier demo aside and begin with an empty one
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from mlops_portal.demo.display import Teller
from mlops_portal.demo.portal import Ci, cast_of
from mlops_portal.demo.running import CAST, command
from mlops_portal.demo_serving.asking import ModelFiles
from mlops_portal.demo_serving.making import Making, has_version
from mlops_portal.demo_serving.report import ServingReport
from mlops_portal.demo_serving.story import Story
from mlops_portal.demo_serving.trainings import Trainings
from mlops_portal.demo_serving.workshop import Children, Workshop
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.progress import Terminal
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import manage

AT_ONCE = 12  # most of them wait for each other, or for a process


class StartProgress(Terminal):
    """Begins the trainings as soon as the store of features is there."""

    def __init__(self, demo: "ServingDemo") -> None:
        super().__init__()
        self._demo = demo

    def begin(self, label: str, position: int, total: int) -> None:
        """The gateway comes after the Redis of the models."""
        if label == "Gateway" and not self._demo.was_told_before:
            self._demo.train(models=True)
        super().begin(label, position, total)


class ServingDemo:
    """One run of `make demo-serving` on one state folder."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.cast_file = stack.layout.var / CAST
        self.was_told_before = self.cast_file.exists()
        self.report = ServingReport()
        self.teller = Teller()
        self.story: Story | None = None
        self._children = Children()
        self._aside = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="aside")
        self._trainings: Trainings | None = None

    def workshop(self) -> Workshop:
        """The models' environment; the stack's ports have to be known."""
        return Workshop(self.stack.layout, self.stack.environment(), self._children)

    def train(self, models: bool) -> Trainings:
        """Begin the trainings, once."""
        if self._trainings is None:
            self._trainings = Trainings(self.workshop(), self.teller, self._aside, models)
        return self._trainings

    def tell(self) -> None:
        """Start everything and tell the story; raises `StoryFailed` or `StackError`."""
        began = time.monotonic()
        with self.report.part("start of the stack"):
            self.stack.start(StartProgress(self))
        with self.report.part("the cast"):
            manage(self.stack, "demo_cast")
            cast = cast_of(self.cast_file)
            ci = Ci(cast)
        self.teller.plain(f"\nDashboard {cast['portal']}/   log-ins are in {self.cast_file}")
        trainings = self.train(models=not is_trained(ci))
        making = Making(ci, cast["tokens"]["ci-wine"], self.workshop(), self.teller, trainings)
        with self.teller as teller:
            self.story = Story(ci, making, self.workshop(), self.files_of, teller, self.report)
            self.story.tell(self._aside)
        self.report.total_seconds = time.monotonic() - began

    def files_of(self, ref: str) -> ModelFiles:
        """What the local target wrote of a deployment."""
        return ModelFiles(self.stack.layout.var / "models" / ref)

    def sum_up(self) -> None:
        """Times, and what did not come true."""
        self.teller.times(self.report.parts, self.report.total_seconds)
        for sentence in self.report.failed_expectations:
            self.teller.plain(f"did not come true: {sentence}")

    def stay(self) -> None:
        """The story's traffic goes on until somebody asks to end."""
        while self.stack.alive():
            time.sleep(0.5)
        raise StackError("the supervisor has ended unexpectedly")

    def end(self) -> None:
        """Stop traffic, children and stack; safe to repeat."""
        if self.story is not None:
            self.story.stop_traffic()
        self._children.stop()
        self.stack.stop()
        self._aside.shutdown(wait=True, cancel_futures=True)


def is_trained(ci: Ci) -> bool:
    """Whether what the story trains is registered already."""
    last = {"tumour-network": "1.1.0", "spending-regression": "1.0.0"}
    return all(has_version(ci, model, version) for model, version in last.items())


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:], "python -m mlops_portal.demo_serving", __doc__, ServingDemo))
