"""All figures of one release on one axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from releases.domain.forecast import PathsAhead
from releases.domain.release import TERMINAL, Phase
from releases.domain.verdict import Verdict
from releases.models import Release, Transition
from releases.services.charts.errors import errors_figure
from releases.services.charts.evidence import RuleKey, evidence_figure, keys_of
from releases.services.charts.frame import Figure, known_until, marks_of, window_of
from releases.services.charts.latency import latency_figure, percentiles_of
from releases.services.charts.predictions import Predictions, predictions_of
from releases.services.charts.split import split_figure
from releases.services.queries.samples import Floats, Series


@dataclass(frozen=True, slots=True)
class Figures:
    """The charts and their present readings. Percentiles in ms by arm and percent."""

    split: Figure
    evidence: Figure
    errors: Figure
    latency: Figure
    predictions: Predictions
    by_rule: tuple[RuleKey, ...] = ()
    percentiles: dict[str, dict[int, float | None]] = field(default_factory=dict)


def draw(
    release: Release,
    transitions: Sequence[Transition],
    series: Series,
    verdict: Verdict | None,
    *,
    ends_at: float | None,
    now: float,
    ahead: PathsAhead | None = None,
) -> Figures:
    """All figures; `ends_at` is when the present hold will be over, if it runs. `ahead`: where the
    certificate's evidence is expected to go from the newest sample on."""
    plan = release.rollout_plan()
    predictions = predictions_of(release, series, verdict)
    if series.is_empty:
        empty = {"empty": why_empty(release)}
        return Figures(split=empty, evidence=empty, errors=empty, latency=empty, predictions=predictions)
    future = ends_at
    if ahead is not None:
        future = max(ends_at or 0.0, float(series.candidate.at[-1] + ahead.at[-1]))
    window = window_of(release, transitions, series, future, now)
    frame: Figure = {
        "window": [round(edge, 1) for edge in window],
        "marks": marks_of(transitions, window, ends_at),
    }
    percentiles = {
        arm: percentiles_of(of, release.latency_bounds)
        for arm, of in (("stable", series.stable), ("candidate", series.candidate))
    }
    return Figures(
        split=frame | split_figure(transitions, window, known_until(release, series, window)),
        evidence=frame | evidence_figure(series.candidate, plan, verdict, ahead),
        errors=frame | errors_figure(series, plan),
        latency=frame | latency_figure(series, percentiles, release.latency_bounds, plan),
        predictions=predictions,
        by_rule=keys_of(verdict),
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


def _last(values: Floats) -> float | None:
    """Of the newest bin; one that has too few requests says nothing."""
    return float(values[-1]) if len(values) and values[-1] == values[-1] else None
