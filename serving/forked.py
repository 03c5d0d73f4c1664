"""Runs a module of the models' environment: as a fork of the fork server if there is one, else by itself.

    FORK_SERVER=SOCKET python -m serving.forked [--patience SECONDS] [--watched FD] MODULE ARGUMENT …

This process stands for the fork towards who started it: it passes on signals, ends as the fork ended, and
takes it with it when it is killed. `--watched` is for inspections: the process id of the fork is written to
that file descriptor, and this process ends with the one that started it. Imports nothing heavy.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
ANSWER_SECONDS = (
    30.0  # until it is forked: longer than the imports of a fork server that has just been started
)
LOST = os.EX_TEMPFAIL  # the exit code when the fork server was killed, and the fork with it
NUMBER = struct.Struct("!i")
PEER = struct.Struct("3i")  # of SO_PEERCRED: process, user, group
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class NotForked(Exception):
    """The fork server did not take it, so it has not run."""


class Lost(Exception):
    """It ran, and the fork server was killed."""


def end_with_parent() -> None:
    """Be killed when the parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def connected(path: str, patience: float) -> socket.socket:
    """A connection to the fork server. Raises NotForked when nobody has listened there for so many seconds,
    or who listens is in another container, where neither this one's files nor its processes are."""
    deadline = time.monotonic() + patience
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(path)
            who, _, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
            if who:  # as seen from here
                return connection
            why = "it is elsewhere"
        except OSError as error:
            why = str(error)
        connection.close()
        if time.monotonic() >= deadline:
            raise NotForked(why)
        time.sleep(0.05)


def begin(connection: socket.socket, command: Sequence[str]) -> int:
    """Have the command forked; its process id. Raises NotForked. A signal before that ends this process, and
    with it what is just being forked."""
    module, *arguments = command
    environment = {name: value for name, value in os.environ.items() if name != "FORK_SERVER"}
    asked = {"module": module, "arguments": arguments, "folder": os.getcwd(), "environment": environment}
    message = json.dumps({**asked, "niceness": os.nice(0)}).encode()
    try:
        socket.send_fds(connection, [message], [1, 2])
        return _told(connection)
    except OSError as error:
        raise NotForked(str(error)) from error


def follow(connection: socket.socket) -> int:
    """Pass on signals until the fork has ended; its wait status. Raises Lost."""
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        with contextlib.suppress(OSError):  # then it is lost, which is told below
            connection.send(bytes([number]))

    for each in PASSED_ON:
        signal.signal(each, pass_on)
    connection.settimeout(None)
    try:
        return _told(connection)
    except OSError as error:
        if received:  # it was to end, and it has
            return received[-1]
        raise Lost(str(error)) from error


def _told(connection: socket.socket) -> int:
    answer = connection.recv(NUMBER.size)
    if len(answer) != NUMBER.size:
        raise ConnectionError("the fork server has ended")
    number: int = NUMBER.unpack(answer)[0]
    return number


def end_like(status: int) -> None:
    """End this process as a wait status says."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other effect to begin with
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.forked", description=__doc__)
    parser.add_argument("--patience", type=float, default=0.0, help="wait for a fork server that starts")
    parser.add_argument("--watched", type=int, metavar="FD")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="MODULE …")
    options = parser.parse_args()
    if options.watched is not None:
        os.set_inheritable(options.watched, False)  # what is watched could write there, too
        end_with_parent()
    if path := os.environ.get("FORK_SERVER"):
        try:
            connection = connected(path, options.patience)
            pid = begin(connection, options.command)
            if options.watched is not None:
                os.write(options.watched, b"%d" % pid)
                os.close(options.watched)
            end_like(follow(connection))
        except NotForked as error:
            sys.stderr.write(f"not forked: {error}\n")
        except Lost as error:
            # An inspection may be made again; of anything else who started it knows what to do.
            sys.stderr.write(f"lost: {error}\n")
            if options.watched is None:
                sys.exit(LOST)
    for each in PASSED_ON:
        signal.signal(each, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", *options.command])  # noqa: S606 - a list of arguments


if __name__ == "__main__":
    main()
