"""Forecasts from what is stored: baselines before a release, evidence while it runs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.domain.forecast import ForecastKind
from releases.domain.plan import RolloutPlan, Rules
from releases.domain.release import Phase
from releases.models import Endpoint, Release
from releases.services import forecasts
from tests import factories
from tests.traffic import simulate

pytestmark = pytest.mark.django_db
PLAN = RolloutPlan()


@pytest.fixture
def endpoint() -> Endpoint:
    acme = factories.tenant("acme")
    wine = factories.model(acme)
    stable = factories.version(wine, "1.0.0")
    factories.version(wine, "1.1.0")
    return factories.endpoint(factories.environment(acme), wine, stable=stable)


def canary(endpoint: Endpoint, seconds: int, phase: Phase = Phase.CANARY, **traffic: float) -> Release:
    began = timezone.now() - timedelta(seconds=seconds)
    candidate = endpoint.model.versions.get(version="1.1.0")
    release = factories.release(endpoint, candidate, Phase.VALIDATING, at=began)
    factories.walk(release, [(Phase.CANARY, began, "step 1 of 1")])
    if traffic:
        simulate(release, since=began, seconds=seconds, **traffic)  # type: ignore[arg-type]
    if phase is not Phase.CANARY:
        factories.walk(release, [(phase, timezone.now(), "asked for")])
    return release


def test_plan_is_forecast_with_the_traffic_of_the_baseline(endpoint: Endpoint) -> None:
    factories.baseline(endpoint, 50, 0.002)
    got = forecasts.of_plan(endpoint, PLAN, timezone.now())
    assert got.traffic is not None
    assert (got.traffic.requests_per_second, got.traffic.error_rate) == (50, 0.002)
    assert got.kind is ForecastKind.CERTIFIES


def test_plan_without_a_fresh_baseline_is_of_unknown_traffic(endpoint: Endpoint) -> None:
    assert forecasts.of_plan(endpoint, PLAN, timezone.now()).kind is ForecastKind.UNKNOWN
    factories.baseline(endpoint, at=timezone.now() - timedelta(hours=1))
    assert forecasts.of_plan(endpoint, PLAN, timezone.now()).kind is ForecastKind.UNKNOWN


def test_plan_where_nobody_asks_is_of_no_traffic(endpoint: Endpoint) -> None:
    factories.baseline(endpoint, 0, 0)
    assert forecasts.of_plan(endpoint, PLAN, timezone.now()).kind is ForecastKind.NO_TRAFFIC


def test_plan_of_a_first_release_needs_no_canary(endpoint: Endpoint) -> None:
    endpoint.stable = None
    for place in (endpoint, None):
        assert forecasts.of_plan(place, PLAN, timezone.now()).kind is ForecastKind.NO_CANARY


@pytest.mark.parametrize(("limit", "share"), [(10, 0.04), (7, 0.04), (50, 0.01), (80, None)])
def test_share_of_slow_answers_is_that_above_the_smallest_bound_at_the_limit(
    endpoint: Endpoint, limit: float, share: float | None
) -> None:
    factories.baseline(endpoint, latency=(9_000, 600, 300, 100), bounds_ms=[5, 10, 50])
    plan = RolloutPlan(rules=Rules(latency_p95_max_ms=limit))
    traffic = forecasts.of_plan(endpoint, plan, timezone.now()).traffic
    assert traffic is not None
    assert traffic.slow_share == share


def test_running_release_is_forecast_from_its_evidence(endpoint: Endpoint) -> None:
    factories.baseline(endpoint, 5, 0.002)  # the recent traffic counts, not this one
    quiet = {"stable_errors": 0.001, "candidate_errors": 0.0}
    outlook = forecasts.of_release(canary(endpoint, 40, **quiet), timezone.now())
    assert outlook.forecast is not None
    assert outlook.forecast.traffic is not None
    assert outlook.forecast.traffic.requests_per_second == pytest.approx(50, rel=0.1)
    assert outlook.forecast.certificate is not None
    assert outlook.forecast.certificate.median == pytest.approx(40, rel=0.3)
    assert outlook.forecast.window_seconds == pytest.approx(3560, abs=3)
    assert outlook.paths is not None
    assert outlook.paths.at[-1] == pytest.approx(outlook.forecast.certificate.median)


def test_running_release_before_its_first_sample_is_forecast_like_its_plan(endpoint: Endpoint) -> None:
    factories.baseline(endpoint, 50, 0.002)
    outlook = forecasts.of_release(canary(endpoint, 1), timezone.now())
    assert outlook.forecast is not None
    assert outlook.paths is None
    assert outlook.forecast == forecasts.of_plan(endpoint, PLAN, timezone.now())


def test_paused_release_is_forecast_at_its_split(endpoint: Endpoint) -> None:
    release = canary(endpoint, 30, Phase.PAUSED, candidate_errors=0.0)
    outlook = forecasts.of_release(release, timezone.now())
    assert outlook.forecast is not None
    assert "at 10 %" in outlook.forecast.sentence


@pytest.mark.parametrize("phase", [Phase.VALIDATING, Phase.AWAITING_APPROVAL, Phase.SMOKE_TESTING])
def test_release_before_traffic_is_forecast_like_its_plan(endpoint: Endpoint, phase: Phase) -> None:
    factories.baseline(endpoint, 0.5, 0.002)
    release = factories.release(endpoint, endpoint.model.versions.get(version="1.1.0"), phase)
    outlook = forecasts.of_release(release, timezone.now())
    assert outlook.forecast is not None
    assert outlook.forecast.decidable is False


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.REJECTED])
def test_release_whose_canary_is_over_has_no_forecast(endpoint: Endpoint, phase: Phase) -> None:
    release = factories.release(endpoint, endpoint.model.versions.get(version="1.1.0"), phase)
    assert forecasts.of_release(release, timezone.now()) == forecasts.Outlook()


def test_evidence_of_another_layout_gives_no_forecast(endpoint: Endpoint) -> None:
    release = canary(endpoint, 5)
    release.evidence = b"12345678"
    assert forecasts.of_release(release, timezone.now()) == forecasts.Outlook()
