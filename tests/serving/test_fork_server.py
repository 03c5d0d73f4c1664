"""The fork server and who stands for its forks, with a small module.

With MLServer: `tests/adapters/test_target_local.py`; with what looks at models: `test_probe_subprocess.py`.
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops_portal.stack.layout import PROJECT

# Tells what it is, then does what its argument says.
MODULE = """
import json, os, signal, sys, tempfile, time

told = {"arguments": sys.argv, "here": os.getcwd(), "environment": dict(os.environ), "pid": os.getpid()}
told["default"] = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
told["temporary"] = tempfile.gettempdir()
print(json.dumps(told), flush=True)
print("an error", file=sys.stderr, flush=True)
exec(sys.argv[1])
"""
PRELOADED = "import tempfile; tempfile.gettempdir()"  # as some library does when it is imported
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
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Place:
    """A fork server on `socket`, and those who stand for its forks."""

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
        command = [sys.executable, "-m", "serving.fork_server", str(self.socket), "preloaded"]
        path = os.pathsep.join([str(self.root / "preloads"), str(PROJECT)])
        environment = self.environment({"ONLY": "the fork server's", "PYTHONPATH": path})
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.root / "preloads", stdout=log, stderr=log
            )

    def client(
        self, does: str, *options: str, keep: int | None = None, nice: int = 0, **others: str
    ) -> "subprocess.Popen[str]":
        """Stands for a process that does this; `keep` is a file that it inherits."""
        folder = self.root / f"folder {len(self.clients)}"
        folder.mkdir()
        client = subprocess.Popen(
            ["nice", "-n", str(nice), sys.executable, "-m", "serving.forked", *options, "small", does],
            pass_fds=[] if keep is None else [keep],
            cwd=folder,
            env=self.environment(others),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.clients.append(client)
        return client

    def told(self, client: "subprocess.Popen[str]") -> dict[str, object]:
        """What the fork said of itself."""
        assert client.stdout
        told: dict[str, object] = json.loads(client.stdout.readline())
        return told

    def forked(self, client: "subprocess.Popen[str]") -> int:
        """The process id of the fork that the client stands for."""
        pid = int(str(self.told(client)["pid"]))
        assert pid != client.pid, "it was not forked"
        return pid

    def stop(self) -> None:
        for process in [*self.clients, *([self.process] if self.process else [])]:
            if process.poll() is None:
                process.kill()
            process.communicate() if process in self.clients else process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "small.py").write_text(MODULE)
    (tmp_path / "preloads").mkdir()
    (tmp_path / "preloads" / "preloaded.py").write_text(PRELOADED)
    made = Place(tmp_path)
    made.start()
    assert eventually(made.socket.exists, 30)
    yield made
    made.stop()


def test_fork_has_its_own_folder_environment_and_output(place: Place) -> None:
    one, other = place.client("", KEY="one's"), place.client("", KEY="the other's", TMPDIR=str(place.root))
    for number, (client, key) in enumerate(((one, "one's"), (other, "the other's"))):
        output, errors = client.communicate(timeout=30)
        told = json.loads(output)
        assert told["arguments"] == [str(place.root / "small.py"), ""]
        assert told["here"] == str(place.root / f"folder {number}")
        assert told["environment"]["KEY"] == key
        assert "ONLY" not in told["environment"]
        assert (told["temporary"] == str(place.root)) == (client is other)
        assert told["default"]
        assert told["pid"] != client.pid
        assert "FORK_SERVER" not in told["environment"]
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
def test_who_stands_for_a_fork_ends_as_it_ended(place: Place, does: str, code: int) -> None:
    client = place.client(does)
    place.forked(client)
    client.communicate(timeout=30)
    assert client.returncode == code


def test_error_of_a_fork_is_in_its_output(place: Place) -> None:
    _, errors = place.client("raise ValueError('no such model')").communicate(timeout=30)
    assert "ValueError: no such model" in errors


def test_signal_is_passed_on(place: Place) -> None:
    client = place.client(GRACEFUL)
    place.forked(client)
    assert client.stdout
    assert client.stdout.readline() == "ready\n"
    client.terminate()
    assert client.wait(10) == 7


def test_killing_who_stands_for_a_fork_kills_the_fork_and_no_other(place: Place) -> None:
    killed, other = place.client(SLEEP), place.client(SLEEP)
    pids = [place.forked(client) for client in (killed, other)]
    killed.kill()
    assert eventually(lambda: not alive(pids[0]))
    assert alive(pids[1])
    assert other.poll() is None


def test_children_of_a_fork_are_killed_with_it(place: Place) -> None:
    client = place.client(
        "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)\n" + SLEEP
    )
    place.told(client)
    assert client.stdout
    child = int(client.stdout.readline())
    client.kill()
    assert eventually(lambda: not alive(child))


def test_killing_the_fork_server_kills_its_forks_and_is_told(place: Place) -> None:
    client = place.client(SLEEP)
    forked = place.forked(client)
    assert place.process
    place.process.kill()
    assert client.wait(10) == os.EX_TEMPFAIL
    assert eventually(lambda: not alive(forked))


def test_what_is_watched_is_run_again_when_the_fork_server_is_killed(place: Place) -> None:
    with (place.root / "told").open("wb") as told:
        client = place.client(SLEEP, "--watched", str(told.fileno()), keep=told.fileno())
        forked = place.forked(client)
        assert place.process
        place.process.kill()
        assert place.told(client)["pid"] == client.pid
    assert (place.root / "told").read_text() == str(forked)
    client.terminate()
    assert client.wait(10) == -signal.SIGTERM


def test_who_is_watched_tells_its_fork_and_ends_with_its_parent(place: Place) -> None:
    command = [sys.executable, "-m", "serving.forked", "--watched", "1", "small", SLEEP]
    code = f"import subprocess; subprocess.run({command})"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=place.environment({}), stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    forked = json.JSONDecoder().raw_decode(parent.stdout.readline())[0]
    assert alive(forked)
    parent.kill()
    parent.communicate()
    assert eventually(lambda: not alive(forked))


def test_fork_server_that_is_asked_to_end_waits_for_its_forks(place: Place) -> None:
    client = place.client(GRACEFUL)
    place.forked(client)
    assert client.stdout
    client.stdout.readline()
    assert place.process
    place.process.terminate()
    time.sleep(0.3)
    assert place.process.poll() is None
    client.terminate()
    assert client.wait(10) == 7
    assert place.process.wait(10) == 0


@contextmanager
def stranger(place: Place) -> Iterator[socket.socket]:
    """A connection of somebody who keeps to nothing."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(str(place.socket))
        connection.settimeout(10)
        yield connection


@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"[]",
        b"[" * 60_000,
        b'{"module": 1}',
        b'{"module": "m", "arguments": [], "folder": "/", "environment": {}, "niceness": 0}',
    ],
)
def test_message_that_says_nothing_harms_nobody(place: Place, message: bytes) -> None:
    place.forked(place.client(SLEEP))
    with stranger(place) as connection:
        connection.send(message)  # and no files
        assert connection.recv(16) == b""
    place.forked(place.client(SLEEP))


def test_only_its_own_user_may_open_the_socket(place: Place) -> None:
    assert eventually(place.socket.exists)
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600


def test_without_a_fork_server_a_module_runs_by_itself(place: Place) -> None:
    client = place.client("sys.exit(5)", FORK_SERVER=str(place.root / "nobody"))
    assert place.told(client)["pid"] == client.pid
    assert client.wait(10) == 5


def test_module_may_be_asked_for_while_the_fork_server_starts(place: Place) -> None:
    assert place.process
    place.process.kill()
    place.process.wait()
    place.socket.unlink()
    client = place.client("", "--patience", "30")
    time.sleep(0.3)
    place.start()
    place.forked(client)
    assert client.wait(30) == 0


def test_niceness_is_kept(place: Place) -> None:
    nice = place.client("print(os.nice(0), flush=True)", nice=7)
    place.forked(nice)
    assert nice.stdout
    assert nice.stdout.readline() == f"{os.nice(0) + 7}\n"


@pytest.mark.parametrize("number", [0, 200, 255])
def test_byte_that_is_no_signal_harms_nobody(place: Place, number: int) -> None:
    client = place.client(SLEEP)
    place.forked(client)
    with stranger(place) as connection:
        message = {"module": "small", "arguments": [SLEEP], "folder": "/", "niceness": 0}
        with (place.root / "output").open("w") as output:
            files = [output.fileno()] * 2
            asked = json.dumps({**message, "environment": place.environment({})}).encode()
            socket.send_fds(connection, [asked], files)
        assert connection.recv(4)
        connection.send(bytes([number]))
        place.forked(place.client(SLEEP))
    assert client.poll() is None


def test_idle_connection_does_not_keep_the_fork_server_from_ending(place: Place) -> None:
    with stranger(place):
        place.forked(place.client("time.sleep(0.5)"))
        assert place.process
        place.process.terminate()
        assert place.process.wait(10) == 0


def test_signal_before_the_fork_ends_who_waits(place: Place) -> None:
    assert place.process
    place.forked(place.client(SLEEP))
    os.kill(place.process.pid, signal.SIGSTOP)  # as while it imports
    client = place.client("")
    time.sleep(1)
    client.terminate()
    assert client.wait(5) == -signal.SIGTERM
    os.kill(place.process.pid, signal.SIGCONT)
    place.forked(place.client(SLEEP))


def test_what_was_to_end_is_not_run_again_when_the_fork_server_is_killed(place: Place) -> None:
    client = place.client(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\n" + SLEEP
    )
    place.told(client)
    assert client.stdout
    assert client.stdout.readline() == "deaf\n"
    client.terminate()
    time.sleep(0.3)
    assert place.process
    place.process.kill()
    assert client.wait(5) == -signal.SIGTERM
