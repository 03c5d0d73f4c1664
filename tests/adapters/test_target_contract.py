"""What every serving target promises: the fake, and real MLServer processes under supervisord."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.domain.release import TargetState
from releases.ports import Deployment, Refused, ServingTarget, TargetStatus, Unreachable
from tests.adapters.model_servers import MODELS_PYTHON, SERVING, Daemon, running_daemon, train
from tests.fakes import FakeTarget

PORTS = range(20_100, 20_400)


@dataclass
class Subject:
    target: ServingTarget
    artifact: Path
    break_model: Callable[[], Path]  # an artifact that cannot be loaded
    go_away: Callable[[], object]

    def deployment(self, ref: str = "wine-v1-0-0") -> Deployment:
        return Deployment(ref, "acme", "production", "wine", "1.0.0", "d1", self.artifact)

    def reaches(self, ref: str, *states: TargetState, seconds: float = 60) -> TargetStatus:
        """The status as soon as it is one of these."""
        deadline = time.monotonic() + seconds
        while (status := self.target.status([ref])[ref]).state not in states:
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        return status


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model"
    train(path)
    return path


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("servers")) as running:
        yield running


def configuration(daemon: Daemon) -> LocalTargetConfig:
    layout = daemon.layout
    return LocalTargetConfig(
        layout.supervisor_socket, layout.var, PORTS, MODELS_PYTHON, SERVING, start_retries=0
    )


def fake_target(request: pytest.FixtureRequest) -> Subject:
    target = FakeTarget(reads_until_ready=2)
    folder: Path = request.getfixturevalue("tmp_path")
    why = "ModuleNotFoundError: No module named 'vanished'"

    def break_model() -> Path:
        target.broken["broken"] = why
        return folder

    return Subject(target, folder, break_model, lambda: setattr(target, "reachable", False))


def local_target(request: pytest.FixtureRequest) -> Subject:
    daemon: Daemon = request.getfixturevalue("daemon")
    if daemon.process is None:
        daemon.start()
    folder: Path = request.getfixturevalue("tmp_path")
    target = LocalTarget(configuration(daemon))
    for ref in target.list():
        target.remove(ref)

    def break_model() -> Path:
        loader = "flavors: {python_function: {loader_module: vanished}}"
        (folder / "MLmodel").write_text(loader)
        return folder

    return Subject(target, request.getfixturevalue("artifact"), break_model, daemon.stop)


@pytest.fixture(params=[fake_target, pytest.param(local_target, marks=pytest.mark.stack)])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


def test_deployment_gets_ready_and_stays_the_same_when_ensured_again(subject: Subject) -> None:
    deployment = subject.deployment()
    subject.target.ensure(deployment)
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.STARTING
    ready = subject.reaches(deployment.ref, TargetState.READY)
    assert ready.digest == "d1"
    assert ready.address is not None
    assert ready.address.startswith("127.0.0.1:")
    subject.target.ensure(deployment)
    assert subject.target.status([deployment.ref]) == {deployment.ref: ready}
    assert subject.target.list() == {deployment.ref}
    subject.target.remove(deployment.ref)
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.ABSENT
    assert subject.target.list() == set()


def test_two_deployments_have_addresses_of_their_own(subject: Subject) -> None:
    refs = ["wine-v1-0-0", "wine-v1-1-0"]
    for ref in refs:
        subject.target.ensure(subject.deployment(ref))
    addresses = {status.address for status in subject.target.status(refs).values()}
    assert len(addresses) == 2
    assert subject.target.list() == set(refs)
    subject.target.remove(refs[0])
    assert subject.target.list() == {refs[1]}


def test_deployment_without_its_artifact_is_refused_by_name(subject: Subject) -> None:
    gone = replace(subject.deployment(), artifact=subject.artifact / "gone")
    with pytest.raises(Refused, match="gone"):
        subject.target.ensure(gone)
    assert subject.target.list() == set()


def test_model_that_does_not_load_fails_and_says_why(subject: Subject) -> None:
    broken = replace(subject.deployment("broken"), artifact=subject.break_model())
    subject.target.ensure(broken)
    failed = subject.reaches("broken", TargetState.FAILED, TargetState.READY)
    assert failed.state is TargetState.FAILED
    assert "No module named 'vanished'" in failed.detail


def test_status_of_a_stranger_is_absent(subject: Subject) -> None:
    assert subject.target.status(["nobody"])["nobody"].state is TargetState.ABSENT
    assert subject.target.status([]) == {}


def test_remove_of_a_stranger_is_fine(subject: Subject) -> None:
    subject.target.remove("nobody")
    assert subject.target.list() == set()


def test_target_that_does_not_answer_is_unreachable_and_knows_nothing(subject: Subject) -> None:
    deployment = subject.deployment()
    subject.target.ensure(deployment)
    subject.go_away()
    assert subject.target.status([deployment.ref])[deployment.ref].state is TargetState.UNKNOWN
    with pytest.raises(Unreachable):
        subject.target.ensure(deployment)
    with pytest.raises(Unreachable):
        subject.target.remove(deployment.ref)
    with pytest.raises(Unreachable):
        subject.target.list()
