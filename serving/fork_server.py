"""Runs model servers, and what looks at models, as forks of a process that has imported what they need.

    python -m serving.fork_server SOCKET [MODULE …]     MODULE: what to import instead of the usual

MLServer and MLflow take seconds to import, and 200 MB, the same in every model server. Here that happens
once: a model server is ready a second or two after its fork, and shares the memory of what was imported.

Who wants something to run (`serving.forked`) connects, sends module, arguments, folder, environment and
niceness as one JSON message together with its standard output and error, and holds the connection as long as
the fork shall live: a connection that ends ends its fork, and a byte is a signal for it. It is told four
bytes twice: the process id, and in the end the wait status. If this process is killed, its forks end as well:
nobody would watch them. It listens before it imports: the first caller waits instead of importing the same
again.

Must not load a model itself, nor anything that starts threads: a fork would lose them.
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
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

from serving.forked import NUMBER, PASSED_ON, end_with_parent

PRELOADED = ("mlserver.cli", "mlserver_mlflow", "mlflow.pyfunc", "serving.runtime", "skops.io")
LARGEST = 1 << 17  # bytes of a message
UNFIT = os.EX_CONFIG  # the exit code when nothing could be forked safely; a restart would change nothing
NAME = 15  # PR_SET_NAME of prctl(2)
SEARCHED_FIRST = 1 + len(list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))))
"""Entries of `sys.path` that are this process's own: its folder, since it was started with -m, and these."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to run, and where."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    niceness: int

    @classmethod
    def read(cls, message: bytes) -> Self:
        """Raises ValueError, KeyError, TypeError and RecursionError."""
        asked = json.loads(message)
        return cls(
            str(asked["module"]),
            [str(each) for each in asked["arguments"]],
            str(asked["folder"]),
            {str(name): str(value) for name, value in asked["environment"].items()},
            int(asked["niceness"]),
        )

    def run(self) -> None:
        """As `python -m` in this process, which has been forked for it."""
        import numpy as np

        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.folder)
        os.nice(max(0, self.niceness - os.nice(0)))
        given = filter(None, self.environment.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:SEARCHED_FIRST] = [self.folder, *given]
        importlib.invalidate_caches()
        # What was drawn from the environment or from chance is each fork's own.
        tempfile.tempdir = None
        random.seed()
        np.random.seed()
        sys.argv[1:] = self.arguments
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


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
        self._dying: set[int] = set()  # killed, because nobody stands for them any more
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._is_ending = False

    def serve(self) -> None:
        """Fork on request, tell ends, pass on signals."""
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._end)
        for each in (self._woken, self._listening):
            self._selector.register(each, selectors.EVENT_READ)
        while self._forks or not self._is_ending:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._woken in ready:
                self._woken.recv(4096)
            # Ends first: a model server that is started again needs the ports of the one that was killed.
            for connection in list(self._forks):
                if connection in ready:
                    self._guarded(connection)
            self._reap()
            if self._is_ending:
                self._listen_no_more()
            elif self._listening in ready:
                self._accept()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True

    def _listen_no_more(self) -> None:
        if self._listening.fileno() >= 0:
            self._selector.unregister(self._listening)
            self._listening.close()
        for connection in [each for each, pid in self._forks.items() if pid is None]:
            self._forget(connection)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as error:  # no file is left; who waits may be accepted later
            sys.stderr.write(f"not accepted: {error}\n")
            return
        self._forks[connection] = None
        self._selector.register(connection, selectors.EVENT_READ)

    def _guarded(self, connection: socket.socket) -> None:
        """One connection, whatever comes: the others must not suffer from it."""
        try:
            if self._forks[connection] is None:
                self._begin(connection)
            else:
                self._hear(connection)
        except Exception:
            traceback.print_exc()
            self._forget(connection)

    def _hear(self, connection: socket.socket) -> None:
        """Signals to pass on; none when the connection has ended."""
        numbers, pid = _received(connection), self._forks[connection]
        if not numbers:
            self._forget(connection)
        for number in PASSED_ON:
            if number in numbers and pid is not None:
                os.kill(pid, number)

    def _begin(self, connection: socket.socket) -> None:
        """Read the message and fork."""
        files: list[int] = []
        try:
            message, files, _, _ = socket.recv_fds(connection, LARGEST, 2)
            asked = Asked.read(message)
            output, errors = files
            # A signal for this process must not get lost in the child.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
            try:
                pid = os.fork()
                if pid == 0:
                    self._become(asked, output, errors)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            self._forks[connection] = pid
            _tell(connection, pid)
        finally:
            for each in files:
                os.close(each)

    def _become(self, asked: Asked, output: int, errors: int) -> NoReturn:
        """The child; it leaves by an exception that nobody catches, so that it ends as any process does."""
        parent = os.getppid()
        end_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # it had died before it could be watched
        ctypes.CDLL(None).prctl(NAME, asked.module.rpartition(".")[2].encode())  # for `ps` and `top`
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})
        self._selector.close()
        for each in (self._listening, self._woken, self._wake, *self._forks):
            each.close()
        for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, errors)):
            os.dup2(file, standard)
        try:
            asked.run()
        except Exception:
            traceback.print_exc()
            sys.exit(1)
        sys.exit(0)

    def _reap(self) -> None:
        for connection, pid in list(self._forks.items()):
            if pid is not None and (status := _ended(pid)) is not None:
                self._forks[connection] = None
                _tell(connection, status)
                self._forget(connection)
        self._dying = {pid for pid in self._dying if _ended(pid) is None}

    def _forget(self, connection: socket.socket) -> None:
        """End it, and with it its fork."""
        pid = self._forks.pop(connection)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._dying.add(pid)
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


def _ended(pid: int) -> int | None:
    """The wait status of a fork that has ended; its group ends with it."""
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    with contextlib.suppress(ProcessLookupError, PermissionError):  # its number is its own until it is reaped
        os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def preload(names: Sequence[str]) -> None:
    """Import what every model server needs; what cannot be imported is left to who needs it."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            sys.stderr.write(f"{name} is not preloaded: {type(error).__name__}: {error}\n")
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and so copy, what is shared
    # Not those of jemalloc, inside pyarrow, which knows of forks.
    if threading.active_count() > 1:
        sys.stderr.write(f"an import has started threads, which a fork would lose: {threading.enumerate()}\n")
        sys.exit(UNFIT)


def main() -> None:
    server = ForkServer(Path(sys.argv[1]))
    preload(sys.argv[2:] or PRELOADED)
    server.serve()


if __name__ == "__main__":
    main()
