"""What the story claimed and what became of it: expectations, times, and the last line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlops_portal.demo.traffic import Tally


@dataclass
class Report:
    """Filled while the story is told."""

    expectations: list[tuple[str, bool]] = field(default_factory=list)
    parts: list[tuple[str, float]] = field(default_factory=list)
    promoted_seconds: float | None = None
    slower_seconds: float | None = None
    rolled_back_seconds: float | None = None
    total_seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)

    def expect(self, sentence: str, is_true: bool) -> bool:
        """Note whether something came true."""
        self.expectations.append((sentence, is_true))
        return is_true

    @contextmanager
    def part(self, label: str) -> Iterator[None]:
        """Measure a part of the story."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.parts.append((label, time.monotonic() - began))

    @property
    def failed_expectations(self) -> list[str]:
        """What did not come true."""
        return [sentence for sentence, is_true in self.expectations if not is_true]

    @property
    def came_true(self) -> bool:
        """Whether there were expectations and all of them came true."""
        return bool(self.expectations) and not self.failed_expectations

    def failures_by_version(self) -> str:
        """Who answered the failed requests."""
        failed = self.tally.failed
        others = sum(count for version, count in failed.items() if version != "2.0.0")
        return (
            f"failed requests: {failed.get('2.0.0', 0)} answered by the candidate 2.0.0, "
            f"{others} by a stable version or by nobody"
        )

    def slower_line(self) -> str:
        """What became of the candidate without errors that is only slower."""
        return f"slower candidate: {told('rolled back', '1.2.0', self.slower_seconds)}"

    def last_line(self) -> str:
        """The line that scripts look for."""
        promoted = told("promoted", "1.1.0", self.promoted_seconds)
        rolled_back = told("rolled back", "2.0.0", self.rolled_back_seconds)
        return (
            f"demo: {promoted}, {rolled_back}, requests {self.tally.total} failed {self.tally.total_failed}"
        )


def told(verb: str, version: str, seconds: float | None) -> str:
    """Whether it happened, and how long it took."""
    return f"{verb} {version} in {seconds:.0f} s" if seconds is not None else f"not {verb} {version}"
