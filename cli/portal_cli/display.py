"""What a command needs of a display; the two there are, and which one fits."""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from portal_cli.documents import Check, Release
from portal_cli.log_display import LogDisplay
from portal_cli.story import Line
from portal_cli.surroundings import is_for_eyes
from portal_cli.terminal_display import TerminalDisplay


class Display(Protocol):
    """Shows what happens to a person; texts are plain lines already."""

    pace_seconds: float
    """How often it wants to hear of a release that does not change its phase."""

    def begin(self, release: Release) -> None:
        """A release is followed from here."""

    def line(self, line: Line) -> None:
        """Something happened."""

    def note(self, text: str) -> None:
        """Something about the command itself."""

    def show(self, release: Release) -> None:
        """How the release stands now."""

    def facts(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """Names and values."""

    def checks(self, checks: Sequence[Check]) -> None:
        """Checks with their outcomes."""

    def end(self, sentence: str, *, reached: bool | None, link: str = "") -> None:
        """How it ended; None: it has not."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display_for(environment: Mapping[str, str], *, json: bool) -> Display:
    """For eyes on a terminal, or for a log; beside the one JSON document, on standard error."""
    stream = sys.stderr if json else sys.stdout
    if is_for_eyes(stream, environment):
        return TerminalDisplay(stream)
    return LogDisplay(stream)
