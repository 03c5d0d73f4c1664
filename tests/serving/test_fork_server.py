"""The fork server and who stands for its model servers, with a small command in place of MLServer's.

With MLServer itself: `tests/adapters/test_target_local.py`.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_portal.stack.layout import PROJECT

# Tells what it is, then does what its folder says.
COMMAND = """
import json, os, pathlib, signal, sys, time

def main():
    told = {"arguments": sys.argv, "here": os.getcwd(), "environment": dict(os.environ), "pid": os.getpid()}
    told["default"] = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    print(json.dumps(told), flush=True)
    print("an error", file=sys.stderr, flush=True)
    exec(pathlib.Path("do").read_text())
"""
SLEEP = "time.sleep(60)"
GRACEFUL = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('ready', flush=True); time.sleep(60)"


def eventually(condition: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]


@dataclass
class Place:
    """A fork server on `socket`, and the stand-in for `mlserver` that it imports."""

    root: Path
    process: "subprocess.Popen[bytes] | None" = None
    clients: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.root / "s"

    def environment(self, others: Mapping[str, str]) -> dict[str, str]:
        path = os.pathsep.join([str(self.root), str(PROJECT)])
        return {"PATH": os.defpath, "PYTHONPATH": path, "FORK_SERVER": str(self.socket), **others}

    def start(self) -> None:
        command = [sys.executable, "-m", "serving.fork_server", str(self.socket), "mlserver.cli"]
        environment = self.environment({"ONLY": "the fork server's"})
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def client(self, does: str, **others: str) -> "subprocess.Popen[str]":
        """Stands for a server that does this."""
        folder = self.root / f"model {len(self.clients)}"
        folder.mkdir()
        (folder / "do").write_text(does)
        client = subprocess.Popen(
            [sys.executable, "-m", "serving.start", str(folder)],
            env=self.environment(others),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.clients.append(client)
        return client

    def told(self, client: "subprocess.Popen[str]") -> dict[str, object]:
        """What the server said of itself."""
        assert client.stdout
        told: dict[str, object] = json.loads(client.stdout.readline())
        return told

    def stop(self) -> None:
        for process in [*self.clients, *([self.process] if self.process else [])]:
            if process.poll() is None:
                process.kill()
            process.communicate() if process in self.clients else process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    package = tmp_path / "mlserver"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(COMMAND)
    made = Place(tmp_path)
    made.start()
    yield made
    made.stop()


def test_server_has_its_own_folder_environment_and_output(place: Place) -> None:
    one, other = place.client("", KEY="one's"), place.client("", KEY="the other's")
    for number, (client, key) in enumerate(((one, "one's"), (other, "the other's"))):
        output, errors = client.communicate(timeout=30)
        told = json.loads(output)
        folder = str(place.root / f"model {number}")
        assert told["arguments"] == ["mlserver", "start", folder]
        assert told["here"] == folder
        assert told["environment"]["KEY"] == key
        assert "ONLY" not in told["environment"]
        assert told["default"]
        assert errors == "an error\n"
        assert client.returncode == 0


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit('why')", 1),
        ("raise ValueError('no')", 1),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.kill(os.getpid(), 11)", -11),
    ],
)
def test_who_stands_for_a_server_ends_as_it_ended(place: Place, does: str, code: int) -> None:
    client = place.client(does)
    client.communicate(timeout=30)
    assert client.returncode == code


def test_error_of_a_server_is_in_its_output(place: Place) -> None:
    _, errors = place.client("raise ValueError('no such model')").communicate(timeout=30)
    assert "ValueError: no such model" in errors


def test_signal_is_passed_on(place: Place) -> None:
    client = place.client(GRACEFUL)
    place.told(client)
    assert client.stdout
    assert client.stdout.readline() == "ready\n"
    client.terminate()
    assert client.wait(10) == 7


def test_killing_who_stands_for_a_server_kills_the_server_and_no_other(place: Place) -> None:
    killed, other = place.client(SLEEP), place.client(SLEEP)
    pids = [int(str(place.told(client)["pid"])) for client in (killed, other)]
    killed.kill()
    assert eventually(lambda: not alive(pids[0]))
    assert alive(pids[1])
    assert other.poll() is None


def test_children_of_a_server_are_killed_with_it(place: Place) -> None:
    client = place.client(
        "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)\n" + SLEEP
    )
    place.told(client)
    assert client.stdout
    child = int(client.stdout.readline())
    client.kill()
    assert eventually(lambda: not alive(child))


def test_killing_the_fork_server_kills_its_servers_and_is_told(place: Place) -> None:
    client = place.client(SLEEP)
    pid = int(str(place.told(client)["pid"]))
    assert place.process
    place.process.kill()
    assert client.wait(10) == 1
    assert client.stderr
    assert "the fork server has ended" in client.stderr.read()
    assert eventually(lambda: not alive(pid))


def test_fork_server_that_is_asked_to_end_waits_for_its_servers(place: Place) -> None:
    client = place.client(GRACEFUL)
    place.told(client)
    assert client.stdout
    client.stdout.readline()
    assert place.process
    place.process.terminate()
    time.sleep(0.3)
    assert place.process.poll() is None
    client.terminate()
    assert client.wait(10) == 7
    assert place.process.wait(10) == 0


@pytest.mark.parametrize(
    "message", [b"", b"{", b"[]", b'{"folder": 1}', b'{"folder": "/", "environment": {}}']
)
def test_message_that_says_nothing_harms_nobody(place: Place, message: bytes) -> None:
    place.told(place.client(SLEEP))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(str(place.socket))
        stranger.send(message)  # and no files
        stranger.settimeout(10)
        assert stranger.recv(16) == b""
    place.told(place.client(SLEEP))


def test_only_its_own_user_may_open_the_socket(place: Place) -> None:
    assert eventually(place.socket.exists)
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600


def test_without_a_fork_server_the_server_is_started_by_itself(place: Place, tmp_path: Path) -> None:
    command = tmp_path / "mlserver-itself"
    command.write_text("#!/bin/sh\necho by itself: $0 $*\n")
    command.chmod(0o755)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec -a "$0" {sys.executable} "$@"\n')
    (python.parent / "mlserver").symlink_to(command)
    environment = place.environment({"FORK_SERVER": str(tmp_path / "nobody")})
    code = "import sys; sys.executable = sys.argv.pop(1); from serving.start import main; main()"
    said = subprocess.run(
        [sys.executable, "-c", code, str(python), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert said.stdout == f"by itself: {python.parent / 'mlserver'} start {tmp_path}\n"


def test_server_may_be_started_while_the_fork_server_starts(place: Place) -> None:
    assert place.process
    place.process.kill()
    place.process.wait()
    client = place.client("")
    time.sleep(0.3)
    place.start()
    assert client.wait(30) == 0


def test_signal_before_the_fork_ends_who_waits(place: Place) -> None:
    assert place.process
    os.kill(place.process.pid, signal.SIGSTOP)  # as while it imports
    client = place.client("")
    time.sleep(1)
    client.kill()
    client.wait()
    os.kill(place.process.pid, signal.SIGCONT)
    place.told(place.client(SLEEP))
