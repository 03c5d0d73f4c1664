"""How long one pass over many running canaries takes: real PostgreSQL, engines in memory.

`python -m bench.reconcile [--releases 1000] [--passes 5]`. The engines are left out on purpose: what they
take depends on them; the pass itself is ours.
"""

import argparse
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.database import database
from bench.report import report

if TYPE_CHECKING:
    from bench.canaries import Canaries  # models: only once Django is set up

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def main() -> None:
    """Fill the database, run the passes, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=1_000)
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    with database():
        from bench.canaries import Canaries

        rows = []
        for count in sorted({1, options.releases // 10 or 1, options.releases}):
            canaries = Canaries(count, START)
            rows.append(measure(canaries, options.passes))
            canaries.remove()
        report("reconcile", "One pass over running canaries, milliseconds", rows)


def measure(canaries: "Canaries", passes: int) -> dict[str, object]:
    """The first pass takes the baseline of the counters and is not counted."""
    canaries.run(START + timedelta(seconds=1))
    spent = []
    for number in range(passes):
        at = START + timedelta(seconds=2 + number)
        canaries.serve(at)
        began = time.perf_counter()
        canaries.run(at)
        spent.append(1_000 * (time.perf_counter() - began))
    spent.sort()
    return {
        "releases": canaries.count,
        "fastest": spent[0],
        "median": spent[len(spent) // 2],
        "slowest": spent[-1],
        "per release": spent[len(spent) // 2] / canaries.count,
    }


if __name__ == "__main__":
    os.environ.setdefault("BENCH_VAR", str(Path("var").resolve()))
    main()
