"""Releases on a cluster, driven over REST on the whole stack: promoted, rolled back, workers killed."""

from typing import Any

import pytest

from tenants.audit import GENESIS, chain_hash
from tests.cluster.api import SELDON_DEPLOYMENT, until
from tests.cluster.whole_stack import ClusterLive, live, s3, traffic

__all__ = ["live", "s3"]
# The budget covers the start of the whole stack on two busy cores.
pytestmark = pytest.mark.timeout(600)

PLAN: dict[str, Any] = {
    "steps": [{"weight": 50, "hold_seconds": 4}],
    "promotion": "no_harm",
    "grace_seconds": 2,
}
KILLED = {phase: ["worker-control"] for phase in ("validating", "deploying", "smoke_testing", "canary")}


def test_release_is_promoted_although_its_worker_is_killed_in_each_phase(live: ClusterLive) -> None:
    with traffic(live) as flowing:
        filed = live.release("better", "minor", PLAN)
        release = live.follow(filed, KILLED)
        assert release["phase"] == "succeeded", release["reason"]
        assert_alone(live, "1.1.0")
    tally = flowing.tally
    assert tally.total_failed == 0, tally.examples
    assert tally.requests["1.1.0"] > 0
    assert live.endpoint()["stable"] == "1.1.0"
    assert_recorded(live, filed, added="v1-1-0", removed="v1-0-0")


def test_faulty_release_is_rolled_back_although_its_worker_is_killed(live: ClusterLive) -> None:
    stable = live.endpoint()["stable"]
    before = live.uids(stable)
    live.executors.errors["v2-0-0"] = 0.3  # from its fourth answer on: the smoke test asks three times
    with traffic(live):
        filed = live.release("faulty", "major", PLAN)
        release = live.follow(filed, {"canary": ["worker-control", "beat"]})
        assert release["phase"] == "rolled_back", release["reason"]
        assert_alone(live, stable)
    reasons = [line["reason"] for line in live.ci.transitions(filed)]
    assert any(reason.startswith("harm: ") for reason in reasons), reasons
    assert live.uids(stable) == before  # neither weights nor the candidate's end restart a pod of stable
    assert live.endpoint()["hold"]
    assert_recorded(live, filed, added="v2-0-0", removed="")


def assert_alone(live: ClusterLive, version: str) -> None:
    """In the end the version has everything, and the others are gone when their grace time is over."""
    name = f"v{version.replace('.', '-')}"

    def predictors() -> list[str]:
        found = live.cluster.api.get(SELDON_DEPLOYMENT, "wine", live.namespace)
        return [each["name"] for each in found["spec"]["predictors"]] if found else []

    until(lambda: predictors() == [name], f"{name} is the only predictor", seconds=90)
    (answering,) = live.answering()
    assert f"-{name}-" in answering


def assert_recorded(live: ClusterLive, release_id: str, added: str, removed: str) -> None:
    """The record is whole, and the release's page shows its manifests and what it changed in them."""
    evidence = live.ci.get(f"releases/{release_id}/evidence/")
    assert evidence["chain"]["whole"]
    previous = GENESIS
    for line in evidence["record"]["transitions"]:
        assert line["hash"] == chain_hash(previous, line["content"])
        previous = line["hash"]
    page = live.page(release_id)
    assert 'id="release-manifests"' in page
    assert "kind: SeldonDeployment" in page
    assert f"name: {added}" in page
    assert not removed or f"name: {removed}" in page
