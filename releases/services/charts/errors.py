"""The error rate of both arms since the split began, with confidence sequences."""

import math

import numpy as np

from releases.domain.judge.explanation import percent_limit
from releases.domain.judge.intervals import confidence_interval
from releases.domain.plan import RolloutPlan
from releases.services.charts.frame import Figure, line_of, numbers_of
from releases.services.queries.samples import Series


def errors_figure(series: Series, plan: RolloutPlan) -> Figure:
    limit = plan.rules.error_rate_max
    arms = [("stable", series.stable), ("candidate", series.candidate)]
    lines, highest = [], 2.5 * (limit or 0.004)
    for name, arm in arms:
        if not len(arm.at):
            continue
        requests, errors = arm.requests.cumsum(), arm.errors.cumsum()
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(requests > 0, errors / requests, np.nan)
        low, high = confidence_interval(requests, errors, np.full(len(requests), -math.log(plan.alpha)))
        settled = share[requests >= 40]
        if len(settled):
            highest = max(highest, 1.8 * float(np.nanmax(settled)))
        band = {"lo": numbers_of(100 * low), "hi": numbers_of(100 * high)}
        lines.append(line_of(name, name, arm.at, 100 * share, **band))
    figure: Figure = {
        "kind": "line",
        "y": {"unit": "%", "title": "errors per request", "range": [0, round(min(100.0, 100 * highest), 2)]},
        "series": lines,
    }
    if limit is not None:
        figure["limits"] = [{"y": 100 * limit, "role": "warn", "label": f"limit {percent_limit(limit)}"}]
    return figure
