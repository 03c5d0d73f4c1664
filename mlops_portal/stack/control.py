"""Talks to the stack's supervisord by XML-RPC on its Unix socket. Must not know the programs."""

import contextlib
import http.client
import time
import xmlrpc.client
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import Faults, SupervisorTransport


class Supervisor:
    """The running supervisord behind `socket`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def _rpc(self) -> Any:
        """A connection of its own for every call: one that failed once stays unusable."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        # The host name is ignored: the transport connects to the socket.
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False

    def start(self, program: str) -> None:
        """Start a program without waiting for it; running already is fine."""
        with ignoring(Faults.ALREADY_STARTED):
            self._rpc.startProcess(program, False)

    def stop_all(self, names: Collection[str]) -> None:
        """Stop the programs (`group:name`) side by side and wait until all have ended."""
        for name in names:
            # Removed or ended meanwhile is what we want.
            with ignoring(Faults.NOT_RUNNING, Faults.BAD_NAME):
                self._rpc.stopProcess(name, False)
        while any(f"{info['group']}:{info['name']}" in names and info["pid"] for info in self.programs()):
            time.sleep(0.05)

    def shutdown(self) -> None:
        """Stop whatever is left, then supervisord itself."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._rpc.shutdown()

    def programs(self) -> list[dict[str, Any]]:
        """What supervisord knows of each program, as `getAllProcessInfo` tells it."""
        return cast(list[dict[str, Any]], self._rpc.getAllProcessInfo())

    def program(self, name: str) -> dict[str, Any]:
        """What supervisord knows of one program."""
        return cast(dict[str, Any], self._rpc.getProcessInfo(name))


@contextlib.contextmanager
def ignoring(*codes: int) -> Iterator[None]:
    """Swallow the named faults of supervisord's own protocol, and no others."""
    try:
        yield
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in codes:
            raise
