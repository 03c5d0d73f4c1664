"""What every traffic router promises: the fake and the real Envoy alike."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Refused, TrafficRouter, Unreachable
from tests.adapters.engines import Gateway
from tests.fakes import FakeRouter

WINE = Route("acme", "production", "wine")
BEER = Route("acme", "production", "beer")
STABLE = Arm("acme-production-wine-v1-0-0", "127.0.0.1:21001")
CANDIDATE = Arm("acme-production-wine-v1-1-0", "127.0.0.1:21002")
CANARY = RouteSetting(TrafficSplit(10), STABLE, CANDIDATE)
ALONE = RouteSetting(TrafficSplit(0), STABLE, None)


@dataclass
class Subject:
    router: TrafficRouter
    go_away: Callable[[], None]


def fake_router(request: pytest.FixtureRequest) -> Subject:
    router = FakeRouter()
    return Subject(router, lambda: setattr(router, "reachable", False))


def envoy_router(request: pytest.FixtureRequest) -> Subject:
    envoy: Gateway = request.getfixturevalue("envoy")
    if envoy.process is None:
        envoy.start()
    layout = envoy.layout
    router = EnvoyRouter(EnvoyRouterConfig(str(layout.envoy_admin), layout.xds, envoy.url))
    router.remove([WINE, BEER])
    return Subject(router, envoy.stop)


@pytest.fixture(params=[fake_router, pytest.param(envoy_router, marks=pytest.mark.stack)])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


@pytest.mark.parametrize(
    "setting",
    [
        CANARY,
        ALONE,
        RouteSetting(TrafficSplit(0), STABLE, CANDIDATE),
        RouteSetting(TrafficSplit(1), STABLE, CANDIDATE),
        RouteSetting(TrafficSplit(100), STABLE, CANDIDATE),
        RouteSetting(TrafficSplit(0, shadow=True), STABLE, CANDIDATE),
        RouteSetting(TrafficSplit(0), None, CANDIDATE),
        RouteSetting(TrafficSplit(100), None, CANDIDATE),
        RouteSetting(TrafficSplit(0), None, None),
    ],
    ids=["canary", "alone", "smoke", "1", "100", "shadow", "first smoke", "first", "nothing"],
)
def test_read_after_apply_returns_the_same_setting(subject: Subject, setting: RouteSetting) -> None:
    subject.router.apply({WINE: setting})
    assert subject.router.read([WINE]) == {WINE: setting}


def test_apply_of_one_route_leaves_the_others(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY, BEER: ALONE})
    subject.router.apply({WINE: ALONE})
    assert subject.router.read([WINE, BEER]) == {WINE: ALONE, BEER: ALONE}


def test_apply_twice_is_the_same_as_once(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY})
    subject.router.apply({WINE: CANARY})
    assert subject.router.read([WINE]) == {WINE: CANARY}


def test_apply_after_a_deployment_moved_has_its_new_address(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY})
    moved = RouteSetting(TrafficSplit(10), STABLE, Arm(CANDIDATE.ref, "127.0.0.1:21009"))
    subject.router.apply({WINE: moved})
    assert subject.router.read([WINE]) == {WINE: moved}


def test_promotion_makes_the_candidate_stable(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY})
    promoted = RouteSetting(TrafficSplit(0), CANDIDATE, None)
    subject.router.apply({WINE: promoted})
    assert subject.router.read([WINE]) == {WINE: promoted}


def test_read_of_an_unknown_route_is_none(subject: Subject) -> None:
    assert subject.router.read([WINE]) == {WINE: None}


def test_remove_is_repeatable_and_leaves_the_others(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY, BEER: ALONE})
    subject.router.remove([WINE])
    subject.router.remove([WINE])
    assert subject.router.read([WINE, BEER]) == {WINE: None, BEER: ALONE}


@pytest.mark.parametrize(
    "impossible",
    [
        RouteSetting(TrafficSplit(10), None, CANDIDATE),
        RouteSetting(TrafficSplit(10), STABLE, None),
        RouteSetting(TrafficSplit(0, shadow=True), None, CANDIDATE),
        RouteSetting(TrafficSplit(0, shadow=True), STABLE, None),
        RouteSetting(TrafficSplit(10), STABLE, STABLE),
    ],
    ids=["no stable", "no candidate", "shadow of nothing", "no shadow", "one for both"],
)
def test_apply_of_an_impossible_setting_is_refused_and_changes_nothing(
    subject: Subject, impossible: RouteSetting
) -> None:
    subject.router.apply({WINE: ALONE})
    with pytest.raises(Refused, match="acme/production/wine"):
        subject.router.apply({BEER: ALONE, WINE: impossible})
    assert subject.router.read([WINE, BEER]) == {WINE: ALONE, BEER: None}


def test_url_ends_in_the_model(subject: Subject) -> None:
    assert subject.router.url(WINE).endswith("/acme/production/v2/models/wine")


def test_router_without_its_gateway_is_unreachable(subject: Subject) -> None:
    subject.router.apply({WINE: CANARY})
    subject.go_away()
    with pytest.raises(Unreachable):
        subject.router.read([WINE])
    with pytest.raises(Unreachable):
        subject.router.apply({WINE: ALONE})
    with pytest.raises(Unreachable):
        subject.router.remove([WINE])
