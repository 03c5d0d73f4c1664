"""The release on a terminal: what happened scrolls by, how it stands is a panel that stays below.

Texts are given to rich as `Text`, never as markup.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TextIO

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from portal_cli import figures
from portal_cli.documents import Check, Release, Rule
from portal_cli.story import Line

WIDEST = 120
NARROW = 108
_WIDE_COLUMNS = ("state", "candidate", "stable", "interval", "evidence")
_COLOURS = {
    "succeeded": "green",
    "certified": "green",
    "ok": "green",
    "pass": "green",
    "rolled_back": "red",
    "rolling_back": "red",
    "rejected": "red",
    "harm": "red",
    "fail": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "awaiting_approval": "yellow",
    "shared_incident": "yellow",
    "unreachable": "yellow",
    "flag": "yellow",
    "no_data": "yellow",
}
_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("…", "yellow")}


class TerminalDisplay:
    """One live panel; lines go above it."""

    pace_seconds = 2.0

    def __init__(self, stream: TextIO) -> None:
        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._release: Release | None = None
        self._began = time.monotonic()
        self._spinner = Spinner("dots", style="cyan")

    def begin(self, release: Release) -> None:
        """Put the panel up."""
        self._release = release
        if self._live is None:
            self._live = Live(
                console=self.console, get_renderable=self._panel, refresh_per_second=8, transient=True
            )
            self._live.start()

    def line(self, line: Line) -> None:
        """One change, above the panel."""
        topic = Text(f"{line.topic:<17}", style=_colour(line.topic.replace(" ", "_")))
        self._row(Text(line.at, style="dim"), topic, Text(line.text))

    def note(self, text: str) -> None:
        """Something about the command itself."""
        now = datetime.now(UTC).strftime("%H:%M:%S")
        self._row(Text(now, style="dim"), Text(f"{'client':<17}", style="dim"), Text(text, style="dim"))

    def show(self, release: Release) -> None:
        """What the panel shows from now on."""
        self._release = release

    def facts(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        """A panel of names and values."""
        grid = _grid()
        for name, value in facts:
            grid.add_row(Text(name, style="dim"), Text(value))
        self.console.print(_framed(grid, Text(title, style="bold")), width=self._width())

    def checks(self, checks: Sequence[Check]) -> None:
        """A table of checks."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, width=self._width())
        for name in ("Check", "Stage", "Outcome", "Why"):
            table.add_column(name, header_style="dim", ratio=1 if name == "Why" else None)
        for check in checks:
            outcome = Text(check.outcome, style=_colour(check.outcome))
            table.add_row(Text(check.name), Text(check.stage, style="dim"), outcome, Text(check.reason))
        self.console.print(table)

    def end(self, sentence: str, *, reached: bool | None, link: str = "") -> None:
        """Leave the panel as it is, and say how it ended."""
        if self._live is not None:
            self._stop()
            self.console.print(self._panel())
        mark, colour = _MARKS[reached]
        self._row(Text(mark, style=f"bold {colour}"), Text(sentence, style="bold"))
        if link and self._release is None:
            self._row(Text(" "), Text(link, style="dim"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _width(self) -> int:
        return min(WIDEST, self.console.width)

    def _row(self, *cells: Text) -> None:
        """A line whose last cell is wrapped under itself."""
        grid = Table.grid(padding=(0, 1))
        for _ in cells[:-1]:
            grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(*cells)
        self.console.print(grid)

    # ---- the panel ---------------------------------------------------------------------------------
    def _panel(self) -> RenderableType:
        release = self._release
        if release is None:
            return Text("")
        parts: list[RenderableType] = [self._facts(release)]
        if rules := release.verdict.shown_rules:
            parts += [Text(""), _rules(rules, self._width() < NARROW)]
        passed = int(time.monotonic() - self._began)
        title = Text(release.title, style="bold")
        foot = Text(release.page, style="dim") if release.page else None
        frame = _framed(Group(*parts), title, foot, _colour(release.phase) or "cyan")
        frame.width = self._width()
        if not release.has_ended:
            title.append(f" · {passed // 60}:{passed % 60:02}", style="not bold dim")
        return frame

    def _facts(self, release: Release) -> RenderableType:
        colour = _colour(release.phase) or "cyan"
        phase = Text(figures.phase_in_words(release.phase), style=f"bold {colour}")
        if release.reason:
            phase.append(f"  {release.reason}", style="not bold default")
        still: RenderableType = Text("●", style=colour)
        if self._live is not None and not release.has_ended:
            still = self._spinner
        head = Table.grid(padding=(0, 1))
        head.add_row(still, phase)
        grid = _grid()
        grid.add_row(Text("phase", style="dim"), head)
        grid.add_row(Text("traffic", style="dim"), _traffic(release))
        if release.verdict.kind != "none":
            colour = _colour(release.verdict.kind) or "cyan"
            kind, sentence = figures.verdict(release)
            said = Text(f"{kind}  ", style=f"bold {colour}") if kind else Text("")
            said.append(sentence, style="not bold default" if kind else colour)
            grid.add_row(Text("verdict", style="dim"), said)
        if release.forecast and not release.has_ended:
            grid.add_row(Text("forecast", style="dim"), Text(release.forecast))
        return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold", ratio=1)
    return grid


def _framed(content: RenderableType, title: Text, foot: Text | None = None, colour: str = "cyan") -> Panel:
    return Panel(
        content,
        box=ROUNDED,
        title=title,
        title_align="left",
        subtitle=foot,
        subtitle_align="left",
        border_style=colour,
        padding=(0, 1),
    )


def _traffic(release: Release) -> RenderableType:
    share = 100 if release.phase == "succeeded" else max(0, min(100, release.candidate_share))
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=100, completed=share, width=24, complete_style="cyan", finished_style="green")
    row.add_row(bar, Text(figures.split(release)))
    return row


def _rules(rules: Sequence[Rule], is_narrow: bool) -> Table:
    """One rule a row; in 80 columns shares without counts and intervals."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("rule", header_style="dim", ratio=1)
    names = ("state", "candidate", "stable", "evidence") if is_narrow else _WIDE_COLUMNS
    for name in names:
        table.add_column(name, header_style="dim", no_wrap=True)
    arm = figures.rate if is_narrow else figures.counts
    for rule in rules:
        title = Text(rule.name)
        if rule.counted != "errors":
            title.append(f"\n{rule.counted}", style="dim")
        between = [] if is_narrow else [Text(figures.interval(rule))]
        state = Text(rule.state.replace("_", " "), style=_colour(rule.state))
        arms = (Text(arm(rule.candidate)), Text(arm(rule.stable)))
        table.add_row(title, state, *arms, *between, _evidence(rule))
    return table


def _evidence(rule: Rule) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    colour = _colour(rule.state) or "cyan"
    bar = ProgressBar(
        total=1.0, completed=rule.progress, width=6, complete_style=colour, finished_style=colour
    )
    row.add_row(bar, Text(figures.evidence(rule)))
    return row


def _colour(word: str) -> str:
    return _COLOURS.get(word, "")
