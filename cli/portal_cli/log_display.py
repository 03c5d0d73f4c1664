"""Plain lines for a log: one per change, no colour, no cursor, nothing longer than a sentence."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TextIO

from portal_cli.documents import Check, Release
from portal_cli.story import Line

_MARKS = {True: "reached", False: "FAILED", None: "running"}


class LogDisplay:
    """Writes whole lines and flushes each, for a log is read while it grows."""

    pace_seconds = 10.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, release: Release) -> None:
        """What is followed, its plan and where to look."""
        self._say(f"{release.title}  release {release.id}")
        self._say(f"plan: {release.plan_in_words}")
        if release.page:
            self._say(f"page: {release.page}")

    def line(self, line: Line) -> None:
        """One change."""
        self._say(str(line))

    def note(self, text: str) -> None:
        """Something about the command itself."""
        self.line(Line(datetime.now(UTC).strftime("%H:%M:%S"), "client", text))

    def show(self, release: Release) -> None:
        """Nothing: a log tells changes, and `story` makes lines of them."""

    def facts(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """A heading and a line for each."""
        self._say(f"{title}:")
        widest = max((len(name) for name, _ in facts), default=0)
        for name, value in facts:
            self._say(f"  {name:<{widest}}  {value}")

    def checks(self, checks: Sequence[Check]) -> None:
        """A line for each."""
        for check in checks:
            self._say(f"  {check.outcome:<7}  {check.stage:<10}  {check.name:<16}  {check.reason}")

    def end(self, sentence: str, *, reached: bool | None, link: str = "") -> None:
        """The last line."""
        self._say(f"{_MARKS[reached]}: {sentence}")
        if link:
            self._say(f"page: {link}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def _say(self, text: str) -> None:
        self._stream.write(text.rstrip() + "\n")
        self._stream.flush()
