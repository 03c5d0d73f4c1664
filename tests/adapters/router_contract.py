"""What every traffic router promises. A test module brings the fixture `subject` and imports these tests.

They run against the fake, against Envoy, and against a Kubernetes API server with Seldon's operator.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.domain.traffic import ServiceMatch
from releases.ports import Refused, TrafficRouter, Unreachable

__all__ = [
    "test_apply_of_an_impossible_setting_is_refused_and_changes_nothing",
    "test_apply_of_one_route_leaves_the_others",
    "test_apply_twice_is_the_same_as_once",
    "test_promotion_makes_the_candidate_stable",
    "test_read_after_apply_returns_the_same_setting",
    "test_read_of_an_unknown_route_is_none",
    "test_remove_is_repeatable_and_leaves_the_others",
    "test_router_without_its_gateway_is_unreachable",
    "test_services_that_lead_here_are_read_back_and_go_again",
    "test_url_ends_in_the_model",
]

WINE = Route("acme", "production", "wine")
BEER = Route("acme", "production", "beer")
STABLE = Arm("acme-production-wine-v1-0-0", "127.0.0.1:21001")
CANDIDATE = Arm("acme-production-wine-v1-1-0", "127.0.0.1:21002")
CANARY = RouteSetting(TrafficSplit(10), STABLE, CANDIDATE)
ALONE = RouteSetting(TrafficSplit(0), STABLE, None)


@dataclass
class Subject:
    """A router, and what a test does to it. `seconds`: how long a change may take to be in effect."""

    router: TrafficRouter
    go_away: Callable[[], object]
    address: Callable[[Route, Arm], str] = lambda route, arm: arm.address
    seconds: float = 0.0

    def apply(self, settings: Mapping[Route, RouteSetting]) -> None:
        """With the addresses that deployments have there."""
        self.router.apply({route: self._there(route, setting) for route, setting in settings.items()})

    def shows(self, expected: Mapping[Route, RouteSetting | None]) -> None:
        """This is in effect, after `seconds` at the latest."""
        wanted = {route: setting and self._there(route, setting) for route, setting in expected.items()}
        deadline = time.monotonic() + self.seconds
        while (found := self.router.read(list(wanted))) != wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found == wanted

    def _there(self, route: Route, setting: RouteSetting) -> RouteSetting:
        stable, candidate = (
            arm and Arm(arm.ref, self.address(route, arm)) for arm in (setting.stable, setting.candidate)
        )
        return replace(setting, stable=stable, candidate=candidate)


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
    subject.apply({WINE: setting})
    subject.shows({WINE: setting})


def test_apply_of_one_route_leaves_the_others(subject: Subject) -> None:
    subject.apply({WINE: CANARY, BEER: ALONE})
    subject.apply({WINE: ALONE})
    subject.shows({WINE: ALONE, BEER: ALONE})


def test_apply_twice_is_the_same_as_once(subject: Subject) -> None:
    subject.apply({WINE: CANARY})
    subject.apply({WINE: CANARY})
    subject.shows({WINE: CANARY})


def test_promotion_makes_the_candidate_stable(subject: Subject) -> None:
    subject.apply({WINE: CANARY})
    promoted = RouteSetting(TrafficSplit(0), CANDIDATE, None)
    subject.apply({WINE: promoted})
    subject.shows({WINE: promoted})


def test_services_that_lead_here_are_read_back_and_go_again(subject: Subject) -> None:
    led = replace(
        CANARY,
        matches=(
            ServiceMatch("tasting", "", ("premium", "standard")),
            ServiceMatch("tasting", "premium"),
            ServiceMatch("wine-advice"),
        ),
    )
    subject.apply({WINE: led, BEER: ALONE})
    subject.shows({WINE: led, BEER: ALONE})
    subject.apply({WINE: CANARY})
    subject.shows({WINE: CANARY, BEER: ALONE})


def test_read_of_an_unknown_route_is_none(subject: Subject) -> None:
    subject.shows({WINE: None})


def test_remove_is_repeatable_and_leaves_the_others(subject: Subject) -> None:
    subject.apply({WINE: CANARY, BEER: ALONE})
    subject.router.remove([WINE])
    subject.router.remove([WINE])
    subject.shows({WINE: None, BEER: ALONE})


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
    subject.apply({WINE: ALONE})
    with pytest.raises(Refused, match="acme/production/wine"):
        subject.apply({BEER: ALONE, WINE: impossible})
    subject.shows({WINE: ALONE, BEER: None})


def test_url_ends_in_the_model(subject: Subject) -> None:
    assert subject.router.url(WINE).endswith("/acme/production/v2/models/wine")


def test_router_without_its_gateway_is_unreachable(subject: Subject) -> None:
    subject.apply({WINE: CANARY})
    subject.go_away()
    with pytest.raises(Unreachable):
        subject.router.read([WINE])
    with pytest.raises(Unreachable):
        subject.apply({WINE: ALONE})
    with pytest.raises(Unreachable):
        subject.router.remove([WINE])
