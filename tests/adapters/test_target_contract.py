"""What every serving target promises: the fake, and real MLServer processes under supervisord."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.ports import Refused
from tests.adapters.model_servers import MODELS_PYTHON, SERVING, Daemon, running_daemon, train
from tests.adapters.target_contract import *  # noqa: F403
from tests.adapters.target_contract import Subject
from tests.fakes import FakeTarget

PORTS = range(20_100, 20_400)


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
        layout.supervisor_socket,
        layout.var,
        PORTS,
        MODELS_PYTHON,
        SERVING,
        layout.fork_server,
        start_retries=0,
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


def test_deployment_without_its_artifact_is_refused_by_name(subject: Subject) -> None:
    gone = replace(subject.deployment(), artifact=subject.artifact / "gone")
    with pytest.raises(Refused, match="gone"):
        subject.target.ensure(gone)
    assert subject.target.list() == set()
