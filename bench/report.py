"""How every benchmark ends: a table on the terminal and the same figures in `var/bench/<name>.json`."""

import json
import math
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

NARROWEST = 110
"""A terminal that does not say how wide it is (a pipe, a log) gets at least this."""


def report(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, object]],
    hidden: Collection[str] = (),
    details: Mapping[str, object] | None = None,
) -> None:
    """Print the rows and keep them. `hidden` columns and `details` are kept only."""
    table = Table(*(column for column in rows[0] if column not in hidden), title=title)
    for row in rows:
        shown = [value for column, value in row.items() if column not in hidden]
        table.add_row(*(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in shown))
    console = Console()
    Console(width=max(console.width, NARROWEST)).print(table)
    folder = Path(os.environ.get("BENCH_VAR", "var")) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "processor": _processor()}
    kept = [{column: _plain(value) for column, value in row.items()} for row in rows]
    content = {"benchmark": name, "machine": machine, **(details or {}), "rows": kept}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def _plain(value: object) -> object:
    """JSON knows no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _processor() -> str:
    """What the machine calls its processor; an empty string where it does not say."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
