"""What the judge promises, measured: every row of its table, beside Flagger's and Argo's rules.

`python -m bench.judge [--replications 2000] [--rows name,...] [--seed 20261123] [--processes 2]`. Ends with 1
when a row is not met. Each process simulates its share of the replications as one batch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from multiprocessing import get_context

import numpy as np

from bench.enumeration import LARGEST, PRIMITIVES
from bench.figures import Measured, median
from bench.promises import ROWS, SIMULATIONS, Results, Row
from bench.report import report
from bench.streams import BOUNDS_MS, MEDIAN_MS, PREDICTION_SHARES, SPREAD
from bench.throughput import milliseconds
from bench.watching import Found

RELEASES, REPEATS, PLAIN_SAMPLES = 1_000, 15, 200
EXPECTATION, THROUGHPUT = "expectation", "throughput"
Task = tuple[str, int, int, int]


def main() -> int:
    """Measure the chosen rows, print the table; 0 when all are met."""
    options = _options()
    chosen: list[str] = options.rows.split(",") if options.rows else _names()
    if unknown := sorted(set(chosen) - set(_names())):
        raise SystemExit(f"no such row: {', '.join(unknown)}; there are {', '.join(_names())}")
    began = time.perf_counter()
    rows = [row for row in ROWS if row.name in chosen]
    found = _simulated({row.simulation for row in rows}, options)
    lines = [_line(row, found[row.simulation]) for row in rows]
    if EXPECTATION in chosen:
        lines += _expectations()
    if THROUGHPUT in chosen:
        lines += _throughput(options.seed)
    details = {
        "seed": options.seed,
        "replications": options.replications,
        "seconds": round(time.perf_counter() - began, 1),
        "traffic": {
            "candidate_requests_per_second": 5,
            "stable_requests_per_second": 45,
            "latency_bounds_ms": BOUNDS_MS.tolist(),
            "latency_median_ms": MEDIAN_MS,
            "latency_log_spread": SPREAD,
            "prediction_shares": PREDICTION_SHARES.tolist(),
        },
    }
    title = f"The canary judge, {options.replications:,} replications, seed {options.seed}"
    report("judge", title, lines, hidden=("row", "value", "standard error", "limit", "n"), details=details)
    return int(any(line["met"] == "no" for line in lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=2_000)
    parser.add_argument("--rows", help=f"any of {', '.join(_names())}")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


def _names() -> list[str]:
    return [*(row.name for row in ROWS), EXPECTATION, THROUGHPUT]


def _simulated(names: Iterable[str], options: argparse.Namespace) -> dict[str, Results]:
    """What was found in each of the simulations, their replications divided among the processes."""
    shares = [len(part) for part in np.array_split(np.arange(options.replications), options.processes)]
    ordered = [name for name in SIMULATIONS if name in set(names)]  # the long ones come first
    tasks = [
        (name, part, share, options.seed) for name in ordered for part, share in enumerate(shares) if share
    ]
    parts: dict[str, list[dict[str, Found]]] = {name: [] for name in ordered}
    with get_context("spawn").Pool(options.processes) as pool:
        # In order, so that the figures do not depend on which process was faster.
        for (name, part, _, _), (found, seconds) in zip(tasks, pool.imap(_run, tasks), strict=True):
            parts[name].append(found)
            print(f"{name}, part {part + 1} of {len(shares)}: {seconds:.0f} s", file=sys.stderr, flush=True)
    return {name: _joined(found) for name, found in parts.items()}


def _run(task: Task) -> tuple[dict[str, Found], float]:
    name, part, replications, seed = task
    began = time.perf_counter()
    found = SIMULATIONS[name](replications, (seed, list(SIMULATIONS).index(name), part))
    return found, time.perf_counter() - began


def _joined(parts: list[dict[str, Found]]) -> Results:
    return {
        name: Found(
            {
                look: np.concatenate([part[name].judge[look] for part in parts])
                for look in parts[0][name].judge
            },
            np.concatenate([part[name].flagger for part in parts]),
            np.concatenate([part[name].argo for part in parts]),
        )
        for name in parts[0]
    }


def _line(row: Row, found: Results) -> dict[str, object]:
    measured = row.measure(found)
    bound = None if row.bound is None else row.bound(measured.replications)
    flagger, argo = row.peers(found)
    return {**_compared(row.name, row.quantity, row.unit, bound, measured), "Flagger": flagger, "Argo": argo}


def _compared(
    name: str, quantity: str, unit: str, bound: float | None, measured: Measured
) -> dict[str, object]:
    met = "" if bound is None else "yes" if measured.value <= bound else "no"
    unit = f" {unit}" if unit else ""
    return {
        "quantity": quantity,
        "bound": "" if bound is None else f"<= {bound:.3g}{unit}",
        "measured": f"{measured.value:.3g} ± {measured.error:.2g}{unit}",
        "met": met,
        "row": name,
        "value": measured.value,
        "standard error": measured.error,
        "limit": bound,
        "n": measured.replications,
    }


def _expectations() -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for name, largest in PRIMITIVES.items():
        excess = largest() - 1
        lines.append(
            {
                "quantity": f"E[B] - 1 by exact enumeration up to N = {LARGEST}: {name}",
                "bound": "<= 1e-12",
                "measured": f"{excess:.1e}",
                "met": "yes" if excess <= 1e-12 else "no",
                "Flagger": "",
                "Argo": "",
                "row": f"{EXPECTATION}: {name}",
                "value": excess,
                "standard error": 0.0,
                "limit": 1e-12,
                "n": 1,
            }
        )
    return lines


def _throughput(seed: int) -> list[dict[str, object]]:
    """All at once, and one after the other; of the latter only some, scaled up."""
    batch = median(milliseconds(RELEASES, REPEATS, seed))
    one = median(milliseconds(1, PLAIN_SAMPLES, seed))
    plain = Measured(one.value * RELEASES, one.error * RELEASES, one.replications)
    what = f"{RELEASES:,} releases judged, one sample each, one core"
    loop = f"the same in a plain loop, one by one ({PLAIN_SAMPLES} measured, scaled)"
    none: dict[str, object] = {"Flagger": "", "Argo": ""}
    return [
        {**_compared(THROUGHPUT, what, "ms", 250.0, batch), **none},
        {**_compared("plain-loop", loop, "ms", None, plain), **none},
    ]


if __name__ == "__main__":
    sys.exit(main())
