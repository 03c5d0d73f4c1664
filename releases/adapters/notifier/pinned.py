"""Connections to addresses that tenants type: looked up once, checked, and over after so many seconds.

What was checked is what is connected to: a second look-up could be answered differently. The whole exchange
has one deadline, because a receiver that sends a byte now and then would never run into the time limit of a
single read. Knows nothing of what is sent.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from releases.ports import Refused, Unreachable

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that is handed out for the public internet; but for documentation.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
DOCUMENTATION = ipaddress.IPv6Network("3fff::/20")
CHUNK = 16_384


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # An IPv4 address in disguise leads to where that one leads.
        if parsed in NAT64:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    if isinstance(parsed, ipaddress.IPv6Address) and (
        parsed not in GLOBAL_UNICAST or parsed in DOCUMENTATION
    ):
        return False
    return parsed.is_global and not parsed.is_multicast


def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """All addresses of a name, each of which may be connected to; `Refused` when one of them may not, for
    there is no telling which of them is meant."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unreachable(f"the name {host} does not resolve") from error
    except (UnicodeError, OverflowError) as error:
        raise Refused("the callback address names no valid host") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(is_public(each) for each in addresses):
        raise Refused(f"{host} is inside the portal's own network, or not public")
    return addresses


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the given addresses, whatever the name; the next one when one does not answer."""

    def __init__(self, addresses: Sequence[str], seconds: float) -> None:
        self._addresses = addresses
        self._deadline = time.monotonic() + seconds
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first that takes it; each may use its share of the time that is left."""
        failure: Exception = httpcore.ConnectTimeout("no address")
        for number, address in enumerate(self._addresses):
            share = left(self._deadline, httpcore.ConnectTimeout) / (len(self._addresses) - number)
            try:
                stream = self._real.connect_tcp(address, port, timeout=share, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return DeadlineStream(stream, self._deadline)
        raise failure


class DeadlineStream(httpcore.NetworkStream):
    """A connection on which nothing lasts longer than until the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What is there."""
        return self._stream.read(max_bytes, left(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """In pieces: each has to be taken within what is left then."""
        for begin in range(0, len(buffer), CHUNK):
            self._stream.write(buffer[begin : begin + CHUNK], left(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        """Let it go."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The certificate has to be that of the name, though we connect to the number."""
        seconds = left(self._deadline, httpcore.ConnectTimeout)
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know of the socket."""
        return self._stream.get_extra_info(info)


def left(deadline: float, over: type[Exception]) -> float:
    """Seconds until then; raises `over` when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise over("the time is over")
    return seconds
