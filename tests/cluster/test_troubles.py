"""What can go wrong on a cluster while a version is released: what people are told, and how it goes on."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

import pytest

from releases.adapters.kubernetes_api import Manifest
from releases.domain.release import Act
from releases.services import commands
from tests.cluster import pods
from tests.cluster.api import (
    POD,
    SELDON_DEPLOYMENT,
    VIRTUAL_SERVICE,
    until,
)
from tests.cluster.rig import ClusterRig, canary, rig, told

__all__ = ["rig"]

pytestmark = pytest.mark.timeout(180)


# ---- without trouble -----------------------------------------------------------------------------
def test_release_is_promoted_without_restarting_a_pod_even_when_the_old_version_goes(rig: ClusterRig) -> None:
    release = canary(rig)
    candidate, stable = rig.refs(release)
    before = rig.uids(candidate)
    rig.run(release, "succeeded")
    until(lambda: rig.look() or not rig.uids(str(stable)), "the old version is gone", every=0)
    assert [each["name"] for each in rig.seldon_deployment()["spec"]["predictors"]] == ["v1-1-0"]
    assert rig.uids(candidate) == before


def test_faulty_version_is_rolled_back_and_removed_without_restarting_the_stable_one(rig: ClusterRig) -> None:
    release = canary(rig)
    candidate, stable = rig.refs(release)
    before = rig.uids(str(stable))
    rig.errors["1.1.0"] = 0.4
    rig.run(release, "rolled_back")
    assert "harm: " in rig.reasons(release)
    assert rig.weights() == {"wine-v1-0-0": 100}
    until(lambda: rig.look() or not rig.uids(candidate), "the candidate is gone", every=0)
    assert rig.uids(str(stable)) == before
    assert rig.weights("wine") == {"wine-v1-0-0": 100}


# ---- somebody else writes ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("meddle", "found"),
    [
        ("seldon", "the SeldonDeployment wine gives v1-0-0 50 %, not 60 %"),
        ("ours", "the SeldonDeployment wine gives v1-0-0 60 %, not 1 %"),
    ],
)
def test_weights_changed_by_hand_are_repaired_and_that_stands_in_the_history(
    rig: ClusterRig, meddle: str, found: str
) -> None:
    release = canary(rig)
    if meddle == "seldon":

        def halve(found: Manifest) -> None:
            for predictor in found["spec"]["predictors"]:
                predictor["traffic"] = 50

        rig.api.edit(SELDON_DEPLOYMENT, "wine", rig.namespace, halve)
    else:
        changed = rig.virtual_service()
        for destination, weight in zip(changed["spec"]["http"][1]["route"], (1, 99), strict=True):
            destination["weight"] = weight
        rig.api.replace(VIRTUAL_SERVICE, changed)
    told(rig, release, "changed from outside")
    told(rig, release, "s left")
    assert f"the split was changed from outside ({found}); repairing it" in rig.reasons(release)
    assert rig.weights() == {"wine-v1-0-0": 60, "wine-v1-1-0": 40}
    rig.run(release, "succeeded")


def test_another_writer_is_never_overwritten_and_keeps_nobody_from_releasing(rig: ClusterRig) -> None:
    release = canary(rig)
    with writing(rig) as written:
        rig.run(release, "succeeded")
    assert written > [0]
    assert rig.seldon_deployment()["metadata"]["annotations"]["example.com/touched"] == str(written[0])


@contextlib.contextmanager
def writing(rig: ClusterRig) -> Iterator[list[int]]:
    """Somebody changes the SeldonDeployment all the time; yields how often, so far."""
    count, ending = [0], threading.Event()

    def write() -> None:
        for number in itertools.count(1):
            if ending.wait(0.03):
                return
            meta = {"annotations": {"example.com/touched": str(number)}}
            rig.api.patch(SELDON_DEPLOYMENT, "wine", rig.namespace, {"metadata": meta})
            count[0] = number

    thread = threading.Thread(target=write, name="another-writer", daemon=True)
    thread.start()
    try:
        yield count
    finally:
        ending.set()
        thread.join(10)


# ---- the candidate does not run ------------------------------------------------------------------
def test_candidate_that_never_starts_is_rolled_back_with_its_last_words_and_the_next_one_goes_through(
    rig: ClusterRig,
) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "deploying")
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "ModuleNotFoundError: vanished")):
        until(lambda: pods.crash(rig.api, rig.namespace, candidate), "it crashes before anybody has looked")
        rig.run(release, "rolled_back")
    failed = rig.history_line(release, "rolling_back")
    assert failed.startswith("the deployment failed: the container model of wine-v1-1-0-0-model-")
    assert failed.endswith("ended 4 times, last with exit code 1: ModuleNotFoundError: vanished")
    rig.run(rig.file(rig.register()), "succeeded")


def test_candidate_that_crashes_in_its_canary_holds_says_so_and_goes_on_when_it_runs_again(
    rig: ClusterRig,
) -> None:
    release = canary(rig)
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "out of memory", 137, "OOMKilled")):
        told(rig, release, "holding: the candidate does not serve: the container model of wine-v1-1-0")
        assert "OOMKilled" in release.reason or "out of memory" in release.reason
    for pod in pods.of(rig.api, rig.namespace, candidate):
        rig.api.delete(POD, pod["metadata"]["name"], rig.namespace)
    rig.run(release, "succeeded")


def test_crashing_candidate_is_rolled_back_although_the_operator_stands_still_and_is_removed(
    rig: ClusterRig,
) -> None:
    release = canary(rig)
    candidate, _ = rig.refs(release)
    with pods.held(rig.api, rig.namespace, candidate, pods.crashing(4, "out of memory")):
        told(rig, release, "does not serve")
        commands.act(rig.ada, release.pk, Act.ABORT, "it crashes", at=rig.at)
        rig.run(release, "rolled_back", seconds=10)
        assert rig.weights() == {"wine-v1-0-0": 100}
        until(lambda: rig.look() or not rig.uids(candidate), "the candidate is gone", every=0)
    until(lambda: rig.weights("wine") == {"wine-v1-0-0": 100}, "the operator follows")
