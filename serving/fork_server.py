"""Runs model servers, and what looks at models, as forks of a process that has imported what they need.

    python -m serving.fork_server SOCKET [MODULE …]     MODULE: what to import instead of the usual

MLServer and MLflow take seconds to import, and 200 MB, the same in every model server. Here that happens
once: a model server is ready a second or two after its fork, and shares the memory of what was imported.

Who wants something to run (`serving.forked`) connects, sends module, arguments, folder and environment as one
JSON message together with its standard output and error, and holds the connection as long as the fork shall
live: a connection that ends ends its fork, and a byte is a signal for it. It is told four bytes twice: the
process id, and in the end the wait status. If this process is killed, its forks end as well: nobody would
watch them. It listens before it imports: the first caller waits instead of importing the same again.

Must not load a model itself, nor anything that starts threads.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import selectors
import signal
import socket
import struct
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

PRELOADED = ("mlserver.cli", "mlserver_mlflow", "mlflow.pyfunc", "serving.runtime", "skops.io")
LARGEST = 1 << 17  # bytes of a message
NUMBER = struct.Struct("!i")
PARENT_DEATH_SIGNAL, NAME = 1, 15  # PR_SET_PDEATHSIG and PR_SET_NAME of prctl(2)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to run, and where."""

    module: str
    arguments: list[str]
    folder: Path
    environment: dict[str, str]

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Raises ValueError, KeyError and TypeError."""
        asked = json.loads(message)
        arguments = [str(each) for each in asked["arguments"]]
        return cls(str(asked["module"]), arguments, Path(asked["folder"]), dict(asked["environment"]))

    def run(self) -> int:
        """In this process, which has been forked for it; the exit code."""
        import numpy as np

        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        # What was drawn from the environment or from chance is each fork's own.
        tempfile.tempdir = None
        random.seed()
        np.random.seed()
        sys.argv[1:] = self.arguments
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        return 0


class ForkServer:
    """Listens on a Unix socket that only its own user can open; `serve` returns after SIGTERM, when the last
    fork has ended."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            self._listening.bind(str(path))
        finally:
            os.umask(before)
        self._listening.listen(64)
        self._forks: dict[socket.socket, int | None] = {}  # None until its message has come
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._is_ending = False

    def serve(self) -> None:
        """Fork on request, tell ends, pass on signals."""
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._end)
        for each in (self._woken, self._listening):
            self._selector.register(each, selectors.EVENT_READ)
        while self._forks or not self._is_ending:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._woken in ready:
                self._woken.recv(4096)
            if self._is_ending and self._listening.fileno() >= 0:
                self._selector.unregister(self._listening)
                self._listening.close()
            # Ends first: a model server that is started again needs the ports of the one that was killed.
            for connection in ready & self._forks.keys():
                self._hear(connection)  # type: ignore[arg-type]
            self._reap()
            if self._listening in ready and not self._is_ending:
                connection, _ = self._listening.accept()
                self._forks[connection] = None
                self._selector.register(connection, selectors.EVENT_READ)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True

    def _hear(self, connection: socket.socket) -> None:
        pid = self._forks[connection]
        if pid is None:
            self._begin(connection)
            return
        numbers = _received(connection)
        if not numbers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            _end_group(pid)
            self._forget(connection)
        for number in numbers:
            os.kill(pid, number)

    def _begin(self, connection: socket.socket) -> None:
        """Read the message and fork."""
        files: list[int] = []
        try:
            message, files, _, _ = socket.recv_fds(connection, LARGEST, 2)
            asked = Asked.read(message)
            output, errors = files
        except (OSError, ValueError, KeyError, TypeError):
            self._forget(connection)
        else:
            pid = os.fork()
            if pid == 0:
                self._become(asked, output, errors)
            self._forks[connection] = pid
            _tell(connection, pid)
        finally:
            for each in files:
                os.close(each)

    def _become(self, asked: "Asked", output: int, errors: int) -> None:
        """The child: as if `python -m` had been started; never returns."""
        code = 1
        try:
            parent = os.getppid()
            ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
            ctypes.CDLL(None).prctl(NAME, asked.module.rpartition(".")[2].encode())  # for `ps` and `top`
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for each in (self._listening, self._woken, self._wake, *self._forks):
                each.close()
            for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, errors)):
                os.dup2(file, standard)
            if os.getppid() == parent:  # it has not died before it could be watched
                code = asked.run()
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for connection, pid in list(self._forks.items()):
            if pid is not None and (ended := os.waitpid(pid, os.WNOHANG)) != (0, 0):
                _end_group(pid)
                _tell(connection, ended[1])
                self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        del self._forks[connection]
        self._selector.unregister(connection)
        connection.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(64)
    except OSError:
        return b""


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked may be gone; that is heard next
        connection.send(NUMBER.pack(number))


def _end_group(pid: int) -> None:
    """What a fork has started and left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def preload(names: Sequence[str]) -> None:
    """Import what every model server needs; what is not installed is left out."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            sys.stderr.write(f"{name} is not preloaded: {error}\n")
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, what is shared
    if threading.active_count() > 1:
        raise SystemExit(f"an import has started threads, which a fork would lose: {threading.enumerate()}")


def main() -> None:
    server = ForkServer(Path(sys.argv[1]))
    preload(sys.argv[2:] or PRELOADED)
    server.serve()


if __name__ == "__main__":
    main()
