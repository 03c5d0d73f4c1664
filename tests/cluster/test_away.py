"""A minute without an API server, in the middle of a canary."""

import time

import pytest

from tests.cluster.conftest import TestCluster
from tests.cluster.rig import ClusterRig, canary, rig

__all__ = ["rig"]

pytestmark = pytest.mark.timeout(180)

AWAY = 60.0  # seconds without an API server


def test_api_server_away_for_a_minute_holds_the_canary_and_then_it_goes_on(
    rig: ClusterRig, cluster: TestCluster
) -> None:
    if not cluster.box:
        pytest.skip("only a cluster of our own can be stopped")
    release = canary(rig)
    candidate, _ = rig.refs(release)
    before = rig.uids(candidate)
    cluster.box.pause()
    try:
        began = time.monotonic()
        while time.monotonic() < began + AWAY:
            rig.tick()
            time.sleep(0.5)
        release.refresh_from_db()
        assert release.phase == "canary"
        assert "holding: " in release.reason
    finally:
        cluster.box.go_on()
    rig.run(release, "succeeded")
    assert rig.uids(candidate) == before
