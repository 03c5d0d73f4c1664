"""What every traffic router promises: the fake and the real Envoy alike."""

import pytest

from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, RouteSetting
from tests.adapters.engines import Gateway
from tests.adapters.router_contract import *  # noqa: F403
from tests.adapters.router_contract import BEER, CANARY, CANDIDATE, STABLE, WINE, Subject
from tests.fakes import FakeRouter


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


def test_apply_after_a_deployment_moved_has_its_new_address(subject: Subject) -> None:
    subject.apply({WINE: CANARY})
    moved = RouteSetting(TrafficSplit(10), STABLE, Arm(CANDIDATE.ref, "127.0.0.1:21009"))
    subject.apply({WINE: moved})
    subject.shows({WINE: moved})
