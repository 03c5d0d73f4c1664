"""Forecasts of plans and releases: what stable does now comes from its baseline, what a running release
knows from its evidence. Reads rows and writes nothing; the arithmetic is the domain's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from releases.domain import judge
from releases.domain.forecast import (
    Course,
    Forecast,
    PathsAhead,
    Traffic,
    course_ahead,
    forecast,
    forecast_ahead,
    paths_ahead,
    traffic_now,
)
from releases.domain.judge import state as slots
from releases.domain.plan import RolloutPlan
from releases.domain.release import BEFORE_TRAFFIC, Phase
from releases.models import Endpoint, Release
from releases.services import commands
from releases.services.baseline import Baseline, baseline_of
from tenants.access import Actor

IN_CANARY = frozenset({Phase.CANARY, Phase.PAUSED})
SHORTEST_LOOK = 60.0
"""Seconds that are drawn ahead at least."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of a release, None once its canary is over; `paths` to be drawn, only while it
    runs and has evidence."""

    forecast: Forecast | None = None
    paths: PathsAhead | None = None


def of_request(
    actor: Actor,
    *,
    model: str,
    version: str,
    environment: str,
    plan: object = None,
    note: str = "",
    callback_url: str = "",
    commit: Mapping[str, str] | None = None,
    at: datetime,
) -> Forecast:
    """The forecast of a release that could be filed like this; raises `Invalid` as filing would."""
    chosen, place, rollout, _ = commands.check_request(
        actor,
        model=model,
        version=version,
        environment=environment,
        plan=plan,
        note=note,
        callback_url=callback_url,
        commit=commit,
    )
    return of_plan(Endpoint.objects.filter(environment=place, model=chosen.model).first(), rollout, at)


def of_plan(endpoint: Endpoint | None, plan: RolloutPlan, at: datetime) -> Forecast:
    """The forecast of a plan at an endpoint, which need not be there yet."""
    if endpoint is None or endpoint.stable_id is None:
        return forecast(plan, None, has_stable=False)
    baseline = baseline_of(endpoint, at)
    traffic = None if baseline is None else traffic_of(baseline, plan)
    return forecast(plan, traffic, has_stable=True)


def traffic_of(baseline: Baseline, plan: RolloutPlan) -> Traffic:
    """Stable's traffic as a plan looks at it."""
    slowest = plan.rules.latency_p95_max_ms
    slow = None if slowest is None else _share_above(baseline.latency, baseline.bounds_ms, slowest)
    return Traffic(baseline.requests_per_second, baseline.error_rate, slow)


def of_release(release: Release, at: datetime) -> Outlook:
    """What is to be expected of a release."""
    if release.phase in IN_CANARY:
        return _running(release, at)
    if release.phase not in BEFORE_TRAFFIC:
        return Outlook()
    if release.stable_id is None:
        return Outlook(forecast(release.rollout_plan(), None, has_stable=False))
    return Outlook(of_plan(release.endpoint, release.rollout_plan(), at))


def _running(release: Release, at: datetime) -> Outlook:
    plan = release.rollout_plan()
    try:
        state = judge.state_from_bytes(bytes(release.evidence)) if release.evidence else None
    except judge.StateLayoutError:  # of an older version; sampling says so on the release
        return Outlook()
    course = _course(release, 0.0 if state is None else float(state[slots.ELAPSED]), at)
    traffic = None if state is None else traffic_now(state, course)
    if state is None or traffic is None:
        return Outlook(of_plan(release.endpoint, plan, at))
    if traffic.requests_per_second <= 0:
        return Outlook(forecast_ahead(plan, state, course, traffic))
    look = max(SHORTEST_LOOK, course.holds, float(state[slots.ELAPSED]))
    paths = paths_ahead(plan, state, course, traffic.requests_per_second, min(look, course.window))
    return Outlook(forecast_ahead(plan, state, course, traffic, paths.certain), paths)


def _course(release: Release, sampled: float, at: datetime) -> Course:
    """What is left of the plan, after so many seconds of samples."""
    plan, state = release.rollout_plan(), release.state()
    held = state.held(at.timestamp())
    hold = 0 if state.hold_waived else plan.stages[state.step - 1].hold_seconds
    return course_ahead(
        plan,
        state.step,
        hold_left=max(0.0, hold - held),
        total=max(0.0, state.earlier_holds + held),
        warm_up_left=max(0.0, plan.rules.warm_up_seconds - sampled),
        stands=state.phase is Phase.PAUSED,
    )


def _share_above(latency: tuple[int, ...], bounds_ms: tuple[float, ...], limit: float) -> float | None:
    """The share above the smallest bound that is not below the limit; None when that cannot be told."""
    index = next((n for n, bound in enumerate(bounds_ms) if bound >= limit), None)
    if index is None or not sum(latency):
        return None
    return sum(latency[index + 1 :]) / sum(latency)
