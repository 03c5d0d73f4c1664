"""The row of key figures of a release: counts, traffic, quantiles, and what is left of the hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from releases.domain.release import Phase
from releases.domain.verdict import ArmCounts
from releases.models import Release
from releases.services.queries.samples import ArmSeries, Series


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """The row of figures below the track; None where nothing is known."""

    hold_left: float | None
    hold_ends: datetime | None
    stable: ArmCounts | None
    candidate: ArmCounts | None
    requests_per_second: Mapping[str, float | None] = field(default_factory=dict)
    percentiles: Mapping[str, Mapping[int, float | None]] = field(default_factory=dict)


def key_figures(
    series: Series,
    percentiles: Mapping[str, Mapping[int, float | None]],
    hold: tuple[float | None, datetime | None],
) -> KeyFigures:
    """All of it; `percentiles` in ms by arm and percent, `hold` as `hold_of` gives it."""
    return KeyFigures(
        hold_left=hold[0],
        hold_ends=hold[1],
        stable=_counted(series.stable),
        candidate=_counted(series.candidate),
        requests_per_second={
            "stable": series.stable.requests_per_second(),
            "candidate": series.candidate.requests_per_second(),
        },
        percentiles=percentiles,
    )


def _counted(arm: ArmSeries) -> ArmCounts | None:
    return ArmCounts(int(arm.requests.sum()), int(arm.errors.sum())) if len(arm.at) else None


def hold_of(release: Release, now: datetime) -> tuple[float | None, datetime | None]:
    """Seconds left of the present step's hold, and when it ends if the clock runs."""
    if release.phase not in (Phase.CANARY, Phase.PAUSED):
        return None, None
    stage = release.rollout_plan().stages[release.step - 1]
    left = max(0.0, stage.hold_seconds - release.state().held(now.timestamp()))
    if release.hold_since is None:
        return left, None
    ends = release.hold_since.timestamp() + stage.hold_seconds - release.hold_elapsed
    return left, datetime.fromtimestamp(ends, UTC)
