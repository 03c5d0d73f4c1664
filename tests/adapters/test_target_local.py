"""What may happen to real model servers, and that the local target brings them back."""

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.adapters.target.supervisor import Supervisor
from releases.domain.release import TargetState
from releases.ports import Deployment, Refused
from tests.adapters.model_servers import MODELS_PYTHON, SECRET, SERVING, Daemon, running_daemon, train

pytestmark = pytest.mark.stack

REF = "wine-v1-0-0"
PROGRAM = f"model-{REF}"
QUESTION = {
    "parameters": {"content_type": "pd"},
    "inputs": [
        {"name": "alcohol", "shape": [1, 1], "datatype": "FP64", "data": [14.2]},
        {"name": "hue", "shape": [1, 1], "datatype": "FP64", "data": [1.04]},
    ],
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model"
    train(path)
    return path


@dataclass
class Servers:
    """The target, its supervisord, and one deployment to play with."""

    daemon: Daemon
    target: LocalTarget
    deployment: Deployment

    @property
    def pid(self) -> int:
        return int(self.daemon.supervisor.program(f"{PROGRAM}:{PROGRAM}")["pid"])

    def file(self, name: str) -> Path:
        return self.daemon.layout.var / "models" / REF / name

    def await_ready(self) -> str:
        """The address, as soon as it is ready."""
        assert eventually(lambda: self.state is TargetState.READY), self.target.status([REF])
        return self.target.status([REF])[REF].address or ""

    @property
    def state(self) -> TargetState:
        return self.target.status([REF])[REF].state


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def target_of(daemon: Daemon, ports: range = range(20_400, 20_700)) -> LocalTarget:
    layout = daemon.layout
    return LocalTarget(
        LocalTargetConfig(
            layout.supervisor_socket, layout.var, ports, MODELS_PYTHON, SERVING, layout.fork_server
        )
    )


@pytest.fixture
def servers(tmp_path: Path, artifact: Path) -> Iterator[Servers]:
    with running_daemon(tmp_path / "s") as daemon:
        deployment = Deployment(REF, "acme", "production", "wine", "1.0.0", "d1", artifact)
        yield Servers(daemon, target_of(daemon), deployment)


def test_model_server_answers_and_comes_back_after_kill_9_and_after_the_supervisor(
    servers: Servers,
) -> None:
    servers.target.ensure(servers.deployment)
    address = servers.await_ready()
    answer = httpx.post(f"http://{address}/v2/models/wine/infer", json=QUESTION, trust_env=False)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] in ([0], [1], [2])

    killed = servers.pid
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: servers.state is not TargetState.READY, 5)
    assert servers.await_ready() == address
    assert servers.pid != killed

    servers.daemon.stop()
    servers.daemon.start()
    assert servers.await_ready() == address


def test_model_server_sees_nothing_of_the_portals_environment(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    seen = Path(f"/proc/{servers.pid}/environ")
    assert eventually(lambda: b"OMP_NUM_THREADS=1" in seen.read_bytes(), 5)
    assert SECRET.encode() not in seen.read_bytes()
    assert eventually(lambda: bool(servers.daemon.forked))
    [forked] = servers.daemon.forked
    assert b"OMP_NUM_THREADS=1" in Path(f"/proc/{forked}/environ").read_bytes()
    assert SECRET.encode() not in Path(f"/proc/{forked}/environ").read_bytes()


def test_model_servers_come_back_after_kill_9_of_the_process_that_they_were_forked_from(
    servers: Servers,
) -> None:
    servers.target.ensure(servers.deployment)
    servers.await_ready()
    [forked] = servers.daemon.forked
    os.kill(servers.daemon.fork_server, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{forked}").exists(), 5)
    assert servers.state is not TargetState.READY
    servers.await_ready()


def test_removed_model_server_has_ended(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    servers.await_ready()
    servers.target.remove(REF)
    assert not servers.daemon.forked
    assert servers.target.list() == set()


def test_model_server_finds_what_runs_beside_it_and_no_argument_tells_it(servers: Servers) -> None:
    awkward = "k'1\"$HOME `x` 50%,k 2"
    layout = servers.daemon.layout
    config = LocalTargetConfig(
        layout.supervisor_socket,
        layout.var,
        range(20_400, 20_700),
        MODELS_PYTHON,
        SERVING,
        layout.fork_server,
        environment={"MODEL_ENCRYPTION_KEY": awkward},
    )
    LocalTarget(config).ensure(servers.deployment)
    seen = Path(f"/proc/{servers.pid}/environ")
    wanted = b"MODEL_ENCRYPTION_KEY=" + awkward.encode()
    assert eventually(lambda: wanted in seen.read_bytes().split(b"\0"), 5)
    assert b"k'1" not in Path(f"/proc/{servers.pid}/cmdline").read_bytes()
    assert "k'1" not in (layout.model_programs / f"{REF}.conf").read_text()
    assert stat.S_IMODE(servers.file("environment").stat().st_mode) == 0o600


def test_files_without_a_program_are_completed(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    Supervisor(servers.daemon.layout.supervisor_socket).discard(PROGRAM, patience=10)
    assert servers.state is TargetState.ABSENT
    servers.target.ensure(servers.deployment)
    assert servers.state is TargetState.STARTING


@pytest.mark.parametrize("lost", ["settings.json", "model-settings.json"])
def test_program_without_its_files_is_completed(servers: Servers, lost: str) -> None:
    servers.target.ensure(servers.deployment)
    before = servers.pid
    servers.file(lost).write_text("{")
    assert servers.state is TargetState.ABSENT
    servers.target.ensure(servers.deployment)
    assert servers.state is TargetState.STARTING
    assert servers.pid != before


def test_removal_half_done_is_completed(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    (servers.daemon.layout.model_programs / f"{REF}.conf").unlink()
    assert servers.target.list() == {REF}
    servers.target.remove(REF)
    assert servers.target.list() == set()
    assert not servers.file("settings.json").exists()


def test_digest_of_another_artifact_is_seen_and_repaired(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    served = json.loads(servers.file("model-settings.json").read_text())
    served["parameters"]["extra"]["digest"] = "d2"
    servers.file("model-settings.json").write_text(json.dumps(served))
    assert servers.target.status([REF])[REF].digest == "d2"
    servers.target.ensure(servers.deployment)
    assert servers.target.status([REF])[REF].digest == "d1"


def test_ports_of_others_are_not_taken(servers: Servers, artifact: Path) -> None:
    with socket.create_server(("127.0.0.1", 20_800)):
        target = target_of(servers.daemon, range(20_800, 20_804))
        target.ensure(servers.deployment)
        assert target.status([REF])[REF].address == "127.0.0.1:20801"
        with pytest.raises(Refused, match="no three free ports are left from 20800 to 20803"):
            target.ensure(replace(servers.deployment, ref="another"))
    assert target.list() == {REF}


def test_port_taken_while_the_server_was_down_is_left_for_another(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    address = servers.target.status([REF])[REF].address or ""
    servers.daemon.supervisor.stop_all([f"{PROGRAM}:{PROGRAM}"])
    with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):
        servers.target.ensure(servers.deployment)
        assert servers.target.status([REF])[REF].address not in (None, address)


def test_many_ensured_at_once_have_ports_of_their_own(servers: Servers) -> None:
    refs = [f"wine-v1-{number}-0" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda r: servers.target.ensure(replace(servers.deployment, ref=r)), refs))
    addresses = {status.address for status in servers.target.status(refs).values()}
    assert len(addresses) == 4
    for ref in refs:
        servers.target.remove(ref)


@pytest.mark.parametrize("ref", ["../evil", "Wine", "wine v1", "-wine", "a" * 64, "wine\n"])
def test_names_that_are_no_slugs_are_refused(servers: Servers, ref: str) -> None:
    with pytest.raises(Refused):
        servers.target.ensure(replace(servers.deployment, ref=ref))
    with pytest.raises(Refused):
        servers.target.remove(ref)


def test_metrics_address_is_that_of_the_deployments_own_server(servers: Servers) -> None:
    servers.target.ensure(servers.deployment)
    written = json.loads(servers.file("settings.json").read_text())
    assert servers.target.metrics_address(REF) == f"127.0.0.1:{written['metrics_port']}"
    for stranger in ("nobody", f"../models/{REF}"):
        assert servers.target.metrics_address(stranger) is None
