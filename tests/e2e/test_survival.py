"""kill -9 in the middle of a release on real engines: it still ends right.

A first version is killed while it is promoted (in the fixture), the others in each phase before that. Phases
that last some milliseconds (`rolling_back`, a later `promoting`) are left to the tests of the services, which
lose the effect of a pass on purpose.
"""

import time

import pytest

from tenants.audit import GENESIS, chain_hash
from tests.e2e.conftest import PLAN, Live

pytestmark = [pytest.mark.survival, pytest.mark.timeout(420)]
PHASES = ["validating", "deploying", "smoke_testing", "canary"]
WATCHED = {**PLAN, "steps": [{"weight": 50, "hold_seconds": 6}]}


def assert_ended_right(live: Live, release: dict, phase: str) -> None:  # type: ignore[type-arg]
    """One stable version, all traffic on it, the record whole, nothing left running after the grace time."""
    assert release["phase"] == phase, release["reason"]
    served = release["candidate"] if phase == "succeeded" else release["stable"]
    evidence = live.ci.get(f"releases/{release['id']}/evidence/")
    assert evidence["chain"]["whole"]
    previous = GENESIS
    for line in evidence["record"]["transitions"]:
        assert line["hash"] == chain_hash(previous, line["content"])
        previous = line["hash"]
    slug = f"acme-staging-wine-v{served.replace('.', '-')}-"
    deadline = time.monotonic() + 60
    while len(left := live.model_servers()) != 1 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert [name for name in left if slug in name] == list(left)
    (answering,) = live.answering()  # as the gateway does it, not as the database says
    assert answering.startswith(slug)
    assert live.endpoint()["stable"] == served


@pytest.mark.parametrize("program", ["worker-control", "beat"])
def test_release_succeeds_although_a_program_is_killed_in_each_phase(live: Live, program: str) -> None:
    release = live.release("better", "minor", PLAN)
    done = live.follow(release, {phase: [program] for phase in PHASES})
    assert_ended_right(live, done, "succeeded")


def test_release_succeeds_although_its_heavy_work_is_killed(live: Live) -> None:
    release = live.release("better", "minor", PLAN)
    done = live.follow(release, {"validating": ["worker-heavy"], "smoke_testing": ["worker-heavy"]})
    assert_ended_right(live, done, "succeeded")


def test_release_succeeds_although_gateway_and_stable_server_are_killed(live: Live) -> None:
    stable = live.model_server(live.endpoint()["stable"])
    release = live.release("better", "minor", WATCHED)
    kills = {"deploying": ["envoy"], "smoke_testing": ["envoy"], "canary": ["envoy", stable]}
    assert_ended_right(live, live.follow(release, kills), "succeeded")


def test_bad_release_is_rolled_back_although_workers_database_and_cache_are_killed(live: Live) -> None:
    release = live.release("faulty", "major", {**WATCHED, "promotion": "certified"})
    kills = {"deploying": ["redis"], "canary": ["postgres", "worker-control", "beat"]}
    assert_ended_right(live, live.follow(release, kills), "rolled_back")
