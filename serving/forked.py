"""Runs a module of the models' environment: as a fork of the fork server if there is one, else by itself.

    FORK_SERVER=SOCKET python -m serving.forked [--watched FILE] MODULE ARGUMENT …

This process stands for the fork towards who started it: it passes on signals, ends as the fork ended, and
takes it with it when it is killed. When the fork server is killed, it runs the module itself. With
`--watched` the process id of the fork is written to FILE, and this process ends with the one that started it.
Imports nothing heavy.
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
from pathlib import Path
from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
MOMENT = 1.0  # seconds in which a fork server that was started together with this comes to listen
NUMBER = struct.Struct("!i")
PEER = struct.Struct("3i")  # of SO_PEERCRED: process, user, group
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def connected(path: str, patience: float) -> socket.socket | None:
    """A connection to the fork server; None when nobody has listened there for so many seconds, or who
    listens is in another container, where neither this one's files nor its processes are."""
    deadline = time.monotonic() + patience
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(path)
            who, _, _ = PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
            if who:  # as seen from here
                return connection
        except OSError:
            pass
        connection.close()
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def stand_for(connection: socket.socket, command: Sequence[str], watched: Path | None) -> int:
    """Have the command forked and wait for its end; its wait status. Raises OSError without a fork server."""
    module, *arguments = command
    asked = {"module": module, "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    socket.send_fds(connection, [json.dumps(asked).encode()], [1, 2])
    pid = _told(connection)
    if watched is not None:
        watched.write_text(str(pid))
    # Until now a signal has ended this process, and with it what is just being forked.
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        connection.send(bytes([number]))

    for each in PASSED_ON:
        signal.signal(each, pass_on)
    try:
        return _told(connection)
    except OSError:
        if received:  # it was to end, and it has
            return received[-1]
        raise


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
    parser.add_argument("--watched", type=Path, metavar="FILE")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="MODULE …")
    options = parser.parse_args()
    if options.watched and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    path = os.environ.get("FORK_SERVER")
    connection = connected(path, 0.0 if options.watched else MOMENT) if path else None
    if connection is not None:
        try:
            end_like(stand_for(connection, options.command, options.watched))
        except OSError as error:
            sys.stderr.write(f"not forked: {error}\n")
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", *options.command])  # noqa: S606 - a list of arguments


if __name__ == "__main__":
    main()
