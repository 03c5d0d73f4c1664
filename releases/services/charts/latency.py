"""Latency quantiles of both arms since the split began, with the confidence sequence of the p95."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from releases.domain.judge.explanation import milliseconds
from releases.domain.judge.quantiles import quantile, quantile_band
from releases.domain.plan import RolloutPlan
from releases.services.charts.frame import Figure, line_of, numbers_of
from releases.services.queries.samples import ArmSeries, Floats, Series

# Fewer requests give no percentile worth a line.
FEWEST_REQUESTS = {50: 20, 95: 40, 99: 300}
DASHES = {50: "dot", 95: "solid", 99: "dash"}
BANDED = 95
"""One band an arm: those of the p50 and the p99 would cover each other and this one."""


def percentiles_of(arm: ArmSeries, bounds: Sequence[float]) -> dict[int, Floats]:
    """p50, p95 and p99 since the split at every bin; NaN below FEWEST_REQUESTS."""
    if not _is_counted(arm, bounds):
        return {q: np.full(len(arm.latency_at), np.nan) for q in FEWEST_REQUESTS}
    counts = arm.latency.cumsum(axis=0)
    answers = counts.sum(axis=1)
    return {
        q: np.where(answers >= fewest, quantile(counts, bounds, q / 100), np.nan)
        for q, fewest in FEWEST_REQUESTS.items()
    }


def latency_figure(
    series: Series,
    percentiles: dict[str, dict[int, Floats]],
    bounds: Sequence[float],
    plan: RolloutPlan,
) -> Figure:
    """Lines and band are of the same kind, all since the split: a line never leaves its band."""
    lines: list[dict[str, Any]] = []
    tops: list[float] = []
    for arm, of in (("stable", series.stable), ("candidate", series.candidate)):
        for q, values in percentiles[arm].items():
            known = np.isfinite(values)
            if not known.any():
                continue
            line = line_of(f"{arm} p{q}", arm, of.latency_at, values, dash=DASHES[q])
            tops.append(1.1 * float(values[known].max()))
            if q == BANDED:
                low, high = quantile_band(of.latency.cumsum(axis=0), bounds, q / 100, plan.alpha)
                line |= {
                    "lo": numbers_of(np.where(known, low, np.nan)),
                    "hi": numbers_of(np.where(known, high, np.nan)),
                }
                # What is not yet known above ends at the top of the axis; it must not squeeze the rest.
                tops.append(min(1.1 * float(high[-1]), 2.5 * float(values[known][-1])))
            lines.append(line)
    if not lines:
        return {"empty": f"Fewer than {FEWEST_REQUESTS[50]} answers with a latency: too few to tell."}
    figure: Figure = {
        "kind": "line",
        "y": {"unit": "ms", "title": "milliseconds", "range": [0, float(f"{max(tops):.3g}")]},
        "series": lines,
    }
    limit = plan.rules.latency_p95_max_ms
    if limit is not None:
        if limit <= 3 * max(tops):
            figure["y"]["range"][1] = float(f"{max(*tops, 1.15 * limit):.3g}")
        figure["limits"] = [{"y": limit, "role": "warn", "label": f"p95 limit {milliseconds(limit)}"}]
    return figure


def _is_counted(arm: ArmSeries, bounds: Sequence[float]) -> bool:
    return bool(len(arm.latency_at)) and arm.latency.shape[1] == len(bounds) + 1
