"""Tells the person at the terminal how far the start is. Must not know what is being started."""

import sys
from typing import Protocol, TextIO

from rich.console import Console
from rich.markup import escape


class Progress(Protocol):
    """What the stack tells while it starts and stops."""

    def begin(self, label: str, position: int, total: int) -> None: ...

    def finish(self, label: str, seconds: float) -> None: ...

    def notice(self, text: str) -> None: ...


class Silent:
    """For tests and for programs that tell their own story."""

    def begin(self, label: str, position: int, total: int) -> None:
        pass

    def finish(self, label: str, seconds: float) -> None:
        pass

    def notice(self, text: str) -> None:
        pass


class Terminal:
    """A spinner on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self._status = self.console.status("", spinner="dots")

    def begin(self, label: str, position: int, total: int) -> None:
        if self.console.is_terminal:
            self._status.update(f"[{position}/{total}] {escape(label)} …")
            self._status.start()

    def finish(self, label: str, seconds: float) -> None:
        self._status.stop()
        self.console.print(f"[green]✓[/green] {escape(label):<28} {seconds:5.1f} s")

    def notice(self, text: str) -> None:
        self._status.stop()
        self.console.print(escape(text))
