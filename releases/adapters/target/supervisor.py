"""Starts and stops programs at run time through supervisord's XML-RPC on its Unix socket.

Knows supervisord, not what the programs are for.
"""

import http.client
import socket
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults

from releases.ports import Refused, Unreachable

ALIVE = frozenset({ProcessStates.STARTING, ProcessStates.RUNNING})
WITHOUT_PROCESS = frozenset(
    {
        ProcessStates.STOPPED,
        ProcessStates.BACKOFF,
        ProcessStates.EXITED,
        ProcessStates.FATAL,
    }
)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket, with a timeout, which supervisor's own transport has not."""

    def __init__(self, path: Path | str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path | str, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, self._seconds)


class Supervisor:
    """The supervisord behind a socket; a program's group bears the program's name.

    Every method raises `Unreachable` when it does not answer.
    """

    def __init__(self, path: Path | str, seconds: float = 5.0) -> None:
        self._path, self._seconds = path, seconds

    def programs(self) -> dict[str, Mapping[str, Any]]:
        """Everything that is known of every program, by name, in one call."""
        return {info["group"]: info for info in self._call("getAllProcessInfo")}

    def add(self, name: str) -> None:
        """Read the configuration again and start the program that is new in it."""
        self._call("reloadConfig")
        try:
            self._call("addProcessGroup", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.BAD_NAME:
                raise Refused(f"the supervisor does not read the configuration of {name}") from fault
            if fault.faultCode != Faults.ALREADY_ADDED:
                raise Refused(f"the supervisor refuses {name}: {fault.faultString}") from fault

    def discard(self, name: str, patience: float) -> None:
        """Stop the program and forget it; fine when it is not known."""
        try:
            self._call("stopProcessGroup", name, False)
            deadline = time.monotonic() + patience
            while not self._has_ended(name):
                if time.monotonic() > deadline:
                    raise Unreachable(f"{name} has not ended within {patience:g} s")
                time.sleep(0.05)
            self._call("removeProcessGroup", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.STILL_RUNNING:
                raise Unreachable(f"{name} is still running") from fault
            if fault.faultCode != Faults.BAD_NAME:
                raise Refused(f"the supervisor refuses {name}: {fault.faultString}") from fault

    def _has_ended(self, name: str) -> bool:
        program = self.programs().get(name)
        return program is None or program["state"] in WITHOUT_PROCESS

    def _call(self, method: str, *arguments: Any) -> Any:
        """One call on a connection of its own. Faults of add and discard are theirs to judge."""
        transport = _UnixTransport(self._path, self._seconds)
        # The host is ignored: the transport connects to the socket.
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport, allow_none=True)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                raise Unreachable("the supervisor is shutting down") from fault
            if fault.faultCode == Faults.CANT_REREAD:
                raise Refused(
                    f"the supervisor cannot read its configuration: {fault.faultString[:300]}"
                ) from fault
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Unreachable(f"the supervisor does not answer: {error}") from error
        finally:
            transport.close()
