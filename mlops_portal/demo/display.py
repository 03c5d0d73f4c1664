"""Tells the story in the terminal: lines that stay, and below them, on a terminal, a live picture.

Knows how a release document looks; must not talk to anybody.
"""

import math
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mlops_portal.demo.traffic import Tally

WIDTH = 40
TONES = {
    "canary": "cyan",
    "succeeded": "green",
    "rolling_back": "red",
    "rolled_back": "red",
    "rejected": "red",
}


class Teller:
    """A context: while it is open, the live picture (on a terminal) follows `release` and `tally`."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self.release: dict[str, Any] | None = None
        self.tally: Tally | None = None
        self._began = time.monotonic()
        self._pace = Pace()
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(
                console=self.console, get_renderable=self._picture, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def chapter(self, text: str) -> None:
        """A heading."""
        with self._lock:
            self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, who: str, text: str, tone: str = "") -> None:
        """Something that has happened, with the seconds since the beginning."""
        shown = f"[{tone}]{escape(text)}[/{tone}]" if tone else escape(text)
        with self._lock:
            passed = time.monotonic() - self._began
            self.console.print(f"[dim]{passed:6.1f} s[/dim]  {escape(who):<17} {shown}")

    def phase(self, release: dict[str, Any], phase: str, reason: str) -> None:
        """A line of a release's history."""
        who = f"{release['environment']} {release['version']}"
        self.line(who, f"{phase.replace('_', ' ')}: {reason}", TONES.get(phase, ""))

    def plain(self, text: str = "") -> None:
        """A line as it is."""
        with self._lock:
            self.console.print(escape(text))

    def times(self, parts: list[tuple[str, float]], total: float) -> None:
        """How long each part took."""
        table = Table("part", "seconds", title="Times", title_justify="left")
        table.columns[1].justify = "right"
        for label, seconds in parts:
            table.add_row(label, f"{seconds:.1f}")
        table.add_section()
        table.add_row("from the command to the end of the story", f"{total:.1f}")
        with self._lock:
            self.console.print(table)

    def _picture(self) -> RenderableType:
        lines: list[RenderableType] = []
        title = "wine"
        release = self.release
        if release is not None:
            title = f"{release['model']} {release['version']} to {release['environment']}"
            lines += release_lines(release)
        if self.tally is not None:
            lines.append(self._traffic(self.tally))
        return Panel(Group(*lines), title=title, title_align="left", width=min(100, self.console.width))

    def _traffic(self, tally: Tally) -> Text:
        total, failed = tally.total, tally.total_failed
        by = ", ".join(f"{count} by {version}" for version, count in sorted(tally.failed.copy().items()))
        text = Text(f"traffic   {self._pace.of(total):3.0f} a second, {total:,} requests, ")
        return text.append(f"{failed} failed" + (f" ({by})" if by else ""), "red" if failed else "green")


class Pace:
    """Requests a second over the last moments."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: list[tuple[float, int]] = []

    def of(self, total: int) -> float:
        """Take note of a total, answer with the pace."""
        now = self._clock()
        self._seen = [entry for entry in self._seen if now - entry[0] <= 3.0] + [(now, total)]
        first_at, first_total = self._seen[0]
        return (total - first_total) / (now - first_at) if now > first_at else 0.0


def release_lines(release: dict[str, Any]) -> list[RenderableType]:
    """Phase, split, evidence and verdict of a release."""
    phase, verdict, plan = release["phase"], release["verdict"], release["plan"]
    lines: list[RenderableType] = [
        Text(f"phase     {phase.replace('_', ' ')}: {release['reason']}", TONES.get(phase, "")),
        split_bar(release),
    ]
    if verdict["kind"] != "none":
        lines.append(evidence_bar("harm", verdict.get("harm_evidence"), 1 / plan["alpha"], "red"))
        certificate = verdict.get("certificate_evidence")
        if certificate is not None:
            lines.append(evidence_bar("certainty", certificate, 1 / plan["beta"], "green"))
        lines.append(Text(f"verdict   {verdict['kind'].replace('_', ' ')}: {verdict['summary']}"))
    return lines


def split_bar(release: dict[str, Any]) -> Text:
    """How the traffic is shared."""
    share = release["split"]["candidate"]
    width = round(WIDTH * share / 100)
    text = Text("traffic   ").append("█" * (WIDTH - width), "blue").append("█" * width, "cyan")
    stable = f"{100 - share} % {release['stable']}" if release["stable"] else "no stable version"
    return text.append(f"  {stable}, {share} % {release['candidate']}")


def evidence_bar(name: str, evidence: float | None, limit: float, tone: str) -> Text:
    """Evidence against its limit, on a logarithmic scale; 1 is none."""
    value = max(1.0, evidence or 1.0)
    width = round(WIDTH * min(1.0, math.log(value) / math.log(limit)))
    text = Text(f"{name:<9} ").append("█" * width, tone).append("░" * (WIDTH - width), "dim")
    return text.append(f"  {min(value, 1e6):.3g} of {limit:.0f}")
