"""Starts a model server: as a fork of the fork server if there is one, by itself otherwise.

    FORK_SERVER=SOCKET python -m serving.start FOLDER

This process stands for the model server towards who started it: it passes on signals, ends as the server
ended, and takes the server with it when it is killed. Imports nothing heavy.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
MOMENT = 3.0  # seconds in which a fork server that was started together with this comes to listen
STATUS = struct.Struct("!i")


def connected(path: str) -> socket.socket | None:
    """A connection to the fork server; None when nobody listens there."""
    deadline = time.monotonic() + MOMENT
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(path)
            return connection
        except OSError:
            connection.close()
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def stand_for(connection: socket.socket, folder: Path) -> int:
    """Have the server started and wait for its end; its wait status. Raises OSError."""
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: connection.send(bytes([number])))
    message = json.dumps({"folder": str(folder), "environment": dict(os.environ)}).encode()
    socket.send_fds(connection, [message], [1, 2])
    told = connection.recv(STATUS.size)
    if len(told) != STATUS.size:
        raise ConnectionError("the fork server has ended")
    status: int = STATUS.unpack(told)[0]
    return status


def end_like(status: int) -> None:
    """End this process as the server's wait status says."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other effect to begin with
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    path = os.environ.get("FORK_SERVER")
    connection = connected(path) if path else None
    if connection is None:
        mlserver = str(Path(sys.executable).with_name("mlserver"))
        os.execv(mlserver, [mlserver, "start", str(folder)])  # noqa: S606 - a list of arguments
    try:
        status = stand_for(connection, folder)
    except OSError as error:
        sys.exit(f"the model server has ended, or was not started: {error}")
    end_like(status)


if __name__ == "__main__":
    main()
