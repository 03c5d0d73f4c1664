"""The figures of a release's page, as `charts.js` reads them: roles, never colours; Unix seconds.

Rates, intervals and percentiles are made of sampled counts. Decides nothing: what is drawn here is an
account of the counts beside the judge's evidence, and neither is derived from the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from releases.domain.forecast import PathsAhead
from releases.domain.judge.explanation import percent_limit
from releases.domain.judge.intervals import confidence_interval
from releases.domain.plan import RolloutPlan
from releases.domain.release import TERMINAL, Phase
from releases.models import Release, Transition
from releases.services.queries.samples import ArmSeries, Floats, Series

Figure = dict[str, Any]
LATENCY_WINDOW = 30.0
# Fewer requests in the window give no percentile worth a line.
FEWEST_REQUESTS = {50: 20, 95: 60, 99: 300}
DASHES = {50: "dot", 95: "solid", 99: "dash"}
LOWEST_EVIDENCE, HIGHEST_EVIDENCE = 0.02, 1e6


@dataclass(frozen=True, slots=True)
class Figures:
    """The four charts and their present readings. Percentiles in ms by arm and percent."""

    split: Figure
    evidence: Figure
    errors: Figure
    latency: Figure
    percentiles: dict[str, dict[int, float | None]] = field(default_factory=dict)


def draw(
    release: Release,
    transitions: Sequence[Transition],
    series: Series,
    *,
    ends_at: float | None,
    now: float,
    ahead: PathsAhead | None = None,
) -> Figures:
    """All figures; `ends_at` is when the present hold will be over, if it runs. `ahead`: where the
    certificate's evidence is expected to go from the newest sample on."""
    if series.is_empty:
        empty = {"empty": why_empty(release)}
        return Figures(split=empty, evidence=empty, errors=empty, latency=empty)
    plan = release.rollout_plan()
    future = ends_at
    if ahead is not None:
        future = max(ends_at or 0.0, float(series.candidate.at[-1] + ahead.at[-1]))
    window = _window(release, transitions, series, future, now)
    frame: Figure = {
        "window": [round(edge, 1) for edge in window],
        "marks": _marks(transitions, window, ends_at),
    }
    percentiles = {
        arm: percentiles_of(of, release.latency_bounds)
        for arm, of in (("stable", series.stable), ("candidate", series.candidate))
    }
    return Figures(
        split=frame | _split(transitions, window, _until(release, series, window)),
        evidence=frame | _evidence(series.candidate, plan, ahead),
        errors=frame | _errors(series, plan),
        latency=frame | _latency(series, percentiles),
        percentiles={arm: {q: _last(values) for q, values in of.items()} for arm, of in percentiles.items()},
    )


def why_empty(release: Release) -> str:
    """Why there is nothing to draw."""
    phase = Phase(release.phase)
    if phase in (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING):
        return "No sample yet. The first comes about a second after the split is in effect."
    if phase in TERMINAL:
        return "No traffic was sampled for this release."
    return "No traffic has moved. Samples begin with the canary."


def _window(
    release: Release,
    transitions: Sequence[Transition],
    series: Series,
    ends_at: float | None,
    now: float,
) -> tuple[float, float]:
    """From shortly before the first sample to the end of the hold, or of what there is."""
    first = float(series.candidate.at[0]) - 1
    last = float(series.candidate.at[-1])
    if release.phase in TERMINAL:
        last = max([last, *(line.at.timestamp() for line in transitions if line.at.timestamp() < last + 600)])
    else:
        last = max(last, now)
    to = max(last, ends_at or 0.0)
    length = max(to - first, 20.0)
    # What has ended gets room on the right for the names of its last marks.
    after = 0.42 if release.phase in TERMINAL else 0.04
    return first - 0.04 * length, to + after * length


_MARKS = {
    Phase.PAUSED: ("paused", "warn"),
    Phase.PROMOTING: ("to 100 %", "success"),
    Phase.ROLLING_BACK: ("rolling back", "danger"),
    Phase.ROLLED_BACK: ("back on stable", "stable"),
    Phase.SUCCEEDED: ("succeeded", "success"),
}


def _until(release: Release, series: Series, window: tuple[float, float]) -> float:
    """How far the split is known: to the newest sample, or for good once the release has ended."""
    return window[1] if release.phase in TERMINAL else float(series.candidate.at[-1])


def _marks(
    transitions: Sequence[Transition], window: tuple[float, float], ends_at: float | None
) -> list[dict[str, Any]]:
    """A line at every transition since traffic moved; a label where there is room for it."""
    marks: list[dict[str, Any]] = []
    before: tuple[str, int] | None = None
    for line in transitions:
        now, phase = (line.to_phase, line.step), Phase(line.to_phase)
        if now == before or line.at.timestamp() < window[0]:
            before = now
            continue
        label, role = _MARKS.get(phase, ("", ""))
        if phase is Phase.CANARY:
            resumed = before is not None and before[0] == Phase.PAUSED
            label, role = ("resumed" if resumed else f"canary {line.split_candidate} %", "candidate")
        if label:
            marks.append({"t": round(line.at.timestamp(), 1), "label": label, "role": role})
        before = now
    if ends_at is not None:
        marks.append({"t": round(ends_at, 1), "label": "hold ends", "role": "future"})
    near = 0.12 * (window[1] - window[0])
    for before_it, mark, after_it in zip(marks, marks[1:], marks[2:], strict=False):
        if max(mark["t"] - before_it["t"], after_it["t"] - mark["t"]) < near:
            mark["label"] = ""  # no room on either side
    return marks


def _line(name: str, role: str, at: Floats, values: Floats, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "x": _times(at), "y": _numbers(values), **more}


def _times(at: Floats) -> list[float]:
    return [round(float(moment), 1) for moment in at]


def _numbers(values: Floats) -> list[float | None]:
    """Four digits that count; None where there is nothing to draw."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]


def _split(transitions: Sequence[Transition], window: tuple[float, float], until: float) -> Figure:
    """The decided split as steps."""
    at, shares = [window[0]], [0]
    for line in transitions:
        moment = line.at.timestamp()
        if moment <= window[0]:
            shares[0] = line.split_candidate
        elif line.split_candidate != shares[-1]:
            at.append(moment)
            shares.append(line.split_candidate)
    at.append(max(until, at[-1]))
    shares.append(shares[-1])
    candidate = np.array(shares, dtype=np.float64)
    return {
        "kind": "stack",
        "y": {"unit": "%", "title": "share of requests", "range": [0, 100]},
        "series": [
            _line("stable", "stable", np.array(at), 100 - candidate),
            _line("candidate", "candidate", np.array(at), candidate),
        ],
    }


def _evidence(candidate: ArmSeries, plan: RolloutPlan, ahead: PathsAhead | None) -> Figure:
    roll_back, certify = 1 / plan.alpha, 1 / plan.beta
    top = 10 * max(roll_back, certify)
    limits = [{"y": roll_back, "role": "danger", "label": f"roll back at {roll_back:,.4g}"}]
    series = [_line("harm", "danger", candidate.at, _drawn(candidate.harm))]
    if np.isfinite(candidate.certificate).any():
        limits.append({"y": certify, "role": "success", "label": f"certify at {certify:,.4g}"})
        proof = _drawn(candidate.certificate)
        series.append(_line("certificate", "success", candidate.at, proof, dash="dash"))
        if ahead is not None and ahead.at[-1] > 0:
            series.append(_future(float(candidate.at[-1]), ahead))
    return {
        "kind": "line",
        "y": {"unit": "", "title": "evidence (log)", "log": True, "range": [0.05, top]},
        "limits": limits,
        "series": series,
    }


def _future(now: float, ahead: PathsAhead) -> dict[str, Any]:
    """The forecast of the certificate: a faint band of 8 of 10 paths around the middle one."""
    band = {"lo": _numbers(_drawn(ahead.low)), "hi": _numbers(_drawn(ahead.high))}
    name = "certificate, forecast"
    return _line(name, "success", now + ahead.at, _drawn(ahead.median), dash="dot", faint=True, **band)


def _drawn(evidence: Floats) -> Floats:
    return np.clip(evidence, LOWEST_EVIDENCE, HIGHEST_EVIDENCE)


def _errors(series: Series, plan: RolloutPlan) -> Figure:
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
        band = {"lo": _numbers(100 * low), "hi": _numbers(100 * high)}
        lines.append(_line(name, name, arm.at, 100 * share, **band))
    figure: Figure = {
        "kind": "line",
        "y": {"unit": "%", "title": "errors per request", "range": [0, round(min(100.0, 100 * highest), 2)]},
        "series": lines,
    }
    if limit is not None:
        figure["limits"] = [{"y": 100 * limit, "role": "warn", "label": f"limit {percent_limit(limit)}"}]
    return figure


def percentiles_of(arm: ArmSeries, bounds: Sequence[float]) -> dict[int, Floats]:
    """p50, p95 and p99 over the last LATENCY_WINDOW seconds at every bin; NaN below FEWEST_REQUESTS."""
    if not len(arm.latency_at) or arm.latency.shape[1] != len(bounds) + 1:
        return {q: np.full(len(arm.latency_at), np.nan) for q in FEWEST_REQUESTS}
    total = np.vstack([np.zeros(arm.latency.shape[1]), arm.latency.cumsum(axis=0)])
    begin = np.searchsorted(arm.latency_at, arm.latency_at - LATENCY_WINDOW, side="right")
    inside = total[1:] - total[begin]
    return {q: _percentile(inside, bounds, q) for q in FEWEST_REQUESTS}


def _percentile(inside: Floats, bounds: Sequence[float], q: int) -> Floats:
    """Linear within its bucket; beyond the last bound it is that bound."""
    edges = np.array([0.0, *bounds, bounds[-1]])
    below = inside.cumsum(axis=1)
    count = below[:, -1]
    wanted = count * q / 100
    bucket = np.minimum((below < wanted[:, None]).sum(axis=1), len(bounds))
    rows = np.arange(len(inside))
    held = inside[rows, bucket]
    before = below[rows, bucket] - held
    share = np.where(held > 0, (wanted - before) / np.maximum(held, 1), 0.0)
    value = edges[bucket] + share * (edges[bucket + 1] - edges[bucket])
    return np.where(count >= FEWEST_REQUESTS[q], value, np.nan)


def _latency(series: Series, percentiles: dict[str, dict[int, Floats]]) -> Figure:
    lines = [
        _line(f"{arm} p{q}", arm, of.latency_at, values, dash=DASHES[q])
        for arm, of in (("stable", series.stable), ("candidate", series.candidate))
        for q, values in percentiles[arm].items()
        if np.isfinite(values).sum() > 1
    ]
    if not lines:
        return {
            "empty": f"Fewer than {FEWEST_REQUESTS[50]} requests in {LATENCY_WINDOW:.0f} s: too few to tell."
        }
    return {"kind": "line", "y": {"unit": "ms", "title": "milliseconds", "range": [0, None]}, "series": lines}


def _last(values: Floats) -> float | None:
    found = values[np.isfinite(values)]
    return float(found[-1]) if len(found) else None
