"""What a version needs before it can be deployed: its artifact, where the pods fetch it from."""

import shutil

import pytest

from releases.models import Deployment, Release
from releases.ports import Unreachable
from releases.services import supplies
from tests.services.rig import Rig


@pytest.fixture
def remote(rig: Rig) -> Rig:
    """A target that fetches artifacts from a store of its own."""
    rig.world.mirror.instant = False
    return rig


def deploying(rig: Rig) -> Release:
    """A release that is about to be deployed; whatever is sent for now gets lost."""
    release = rig.run(rig.file(rig.register()), "deploying")
    rig.works = False
    return release


def reason(rig: Rig, release: Release) -> str:
    rig.tick(2)
    release.refresh_from_db()
    return release.reason


def test_release_says_where_its_artifact_is_being_copied_to_and_goes_on_when_it_is_there(
    remote: Rig,
) -> None:
    release = deploying(remote)
    remote.world.mirror.held.clear()
    assert reason(remote, release) == "deploying: the artifact is being copied to s3://models/wine/1.0.0"
    assert remote.world.target.list() == set()  # not asked for before it can be fetched
    remote.works = True
    assert remote.run(release, "succeeded").phase == "succeeded"
    assert remote.world.mirror.held == remote.world.target.list()


def test_copy_that_is_killed_begins_again(remote: Rig) -> None:
    release = deploying(remote)
    remote.world.mirror.held.clear()
    for _ in range(5):
        remote.tick()
    release.refresh_from_db()
    assert release.phase == "deploying"
    remote.works = True
    assert remote.run(release, "succeeded").phase == "succeeded"


def test_store_that_is_away_is_told_and_waited_for(remote: Rig) -> None:
    release = deploying(remote)
    remote.world.mirror.held.clear()
    remote.works = True
    remote.world.mirror.reachable = False
    assert "nobody knows whether the artifact is there yet: the artifact store does not answer" in reason(
        remote, release
    )
    remote.world.mirror.reachable = True
    assert remote.run(release, "succeeded").phase == "succeeded"


def test_store_that_refuses_ends_the_release_with_its_words(remote: Rig) -> None:
    remote.world.mirror.refuses = "the artifact store has no bucket models"
    release = remote.run(remote.file(remote.register()), "rolled_back")
    assert "the deployment failed: the artifact store has no bucket models" in remote.reasons(release)


def test_artifact_that_changed_in_the_store_is_fetched_again_before_it_is_copied(remote: Rig) -> None:
    release = deploying(remote)
    remote.world.mirror.held.clear()
    row = Deployment.objects.get(endpoint=release.endpoint)
    artifact = remote.store.path(row.digest) / "MLmodel"
    artifact.chmod(0o644)
    artifact.write_text("tampered")
    supplies.copy(row.ref, lambda place: remote.world.ports, remote.store, remote.clock)
    assert remote.world.mirror.held == {row.ref}
    assert remote.store.verify(row.digest)


def test_copy_of_what_is_not_known_or_away_does_nothing(remote: Rig) -> None:
    supplies.copy("nothing", lambda place: remote.world.ports, remote.store, remote.clock)
    release = deploying(remote)
    row = Deployment.objects.get(endpoint=release.endpoint)
    remote.world.mirror.held.clear()
    remote.world.mirror.reachable = False
    with pytest.raises(Unreachable):
        supplies.copy(row.ref, lambda place: remote.world.ports, remote.store, remote.clock)
    assert remote.world.mirror.held == set()


def test_stable_that_was_taken_away_with_its_copy_is_copied_and_brought_back(remote: Rig) -> None:
    endpoint = remote.serve(remote.register())
    (ref,) = remote.world.target.list()
    remote.world.target.remove(ref)
    remote.world.mirror.held.clear()
    remote.works = False
    remote.sweep()
    endpoint.refresh_from_db()
    assert endpoint.drift == (
        "1.0.0 was not running; it is being started again: "
        "the artifact is being copied to s3://models/wine/1.0.0"
    )
    remote.works = True
    remote.sweep()
    remote.sweep()
    assert remote.world.target.list() == {ref}


def test_artifact_that_vanished_here_is_fetched_again_and_that_is_told(rig: Rig) -> None:
    release = deploying(rig)
    release.version.refresh_from_db()
    shutil.rmtree(rig.store.path(release.version.digest))
    rig.world.target.deployments.clear()
    assert "its artifact is being fetched from the registry again" in reason(rig, release)
