"""How every benchmark ends: a table on the terminal and the same figures in `var/bench/<name>.json`."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table


def report(name: str, title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print the rows and keep them."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(
            *(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values())
        )
    Console().print(table)
    folder = Path(os.environ.get("BENCH_VAR", "var")) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    content = {"benchmark": name, "machine": machine, "rows": [dict(row) for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
