"""What every mirror of artifacts promises: the fake, the local one that has nothing to do, and a real S3."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from releases.adapters.mirror.local import LocalMirror
from releases.adapters.mirror.s3 import S3Mirror, S3MirrorConfig
from releases.ports import ArtifactMirror, Deployment, Unreachable
from releases.services.artifacts import digest
from tests.cluster.s3 import S3Server, s3
from tests.fakes_around import FakeMirror

__all__ = ["s3"]


@dataclass
class Subject:
    mirror: ArtifactMirror
    go_away: Callable[[], object] | None  # None: there is nothing that could


def fake(request: pytest.FixtureRequest) -> Subject:
    mirror = FakeMirror(instant=False)
    return Subject(mirror, lambda: setattr(mirror, "reachable", False))


def local(request: pytest.FixtureRequest) -> Subject:
    return Subject(LocalMirror(), None)


def real(request: pytest.FixtureRequest) -> Subject:
    server: S3Server = request.getfixturevalue("s3")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in server.environment.items():
        patch.setenv(name, value)
    (server.folder / "contract").mkdir(exist_ok=True)
    prefix = request.node.name.partition("[")[0]
    mirror = S3Mirror(S3MirrorConfig(server.endpoint, f"s3://contract/{prefix}", seconds=0.5))
    request.addfinalizer(server.go_on)
    return Subject(mirror, server.stop)


@pytest.fixture(params=[fake, local, pytest.param(real, marks=pytest.mark.cluster)])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    return Deployment("acme-wine", "acme", "production", "wine", "1.0.0", digest(folder), folder)


def test_put_makes_the_mirror_hold_the_artifact_however_often(
    subject: Subject, deployment: Deployment
) -> None:
    subject.mirror.put(deployment)
    assert subject.mirror.holds(deployment)
    subject.mirror.put(deployment)
    assert subject.mirror.holds(deployment)


def test_artifact_that_is_nowhere_is_not_held(
    subject: Subject, deployment: Deployment, tmp_path: Path
) -> None:
    nowhere = Deployment("ref", "acme", "production", "wine", "2.0.0", deployment.digest, tmp_path / "none")
    assert not subject.mirror.holds(nowhere)


def test_address_needs_no_mirror_that_answers(subject: Subject, deployment: Deployment) -> None:
    if subject.go_away is not None:
        subject.go_away()
    assert subject.mirror.address(deployment)


def test_mirror_that_is_away_is_unreachable(subject: Subject, deployment: Deployment) -> None:
    if subject.go_away is None:
        pytest.skip("the portal's own store is not away")
    subject.go_away()
    with pytest.raises(Unreachable, match="does not answer"):
        subject.mirror.holds(deployment)
