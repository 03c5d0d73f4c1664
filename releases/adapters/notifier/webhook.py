"""Delivers events to callback addresses, signed, and never into the portal's own network.

The receiver checks `X-Portal-Signature: sha256=<hex>`, the HMAC-SHA256 of "<timestamp>.<body>" under
the shared secret. Knows nothing of what the event says.
"""

import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from releases.ports import Message, Refused, Unreachable

# Answers that say "later": the same ones that HTTP itself means to be repeated.
TRY_AGAIN = frozenset({408, 425, 429})
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """`allow_private`: whether addresses inside the portal's own network may be called."""

    allow_private: bool = False
    seconds: float = 5.0


class WebhookNotifier:
    """Port `Notifier`."""

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock

    def send(self, message: Message) -> None:
        """POST the body once. Redirects are not followed: they would pass by the address check."""
        url, host = self._pinned(message.url)
        timestamp = str(int(self._clock()))
        headers = {
            "host": host,
            "content-type": "application/json",
            "user-agent": "mlops-portal",
            "x-portal-delivery": message.delivery,
            "x-portal-timestamp": timestamp,
            "x-portal-signature": signature(message.secret, timestamp, message.body),
        }
        # The certificate is that of the name, though we connect to the number.
        extensions = {"sni_hostname": httpx.URL(message.url).host}
        try:
            with (
                httpx.Client(timeout=self._config.seconds, trust_env=False) as client,
                # The body of the answer is never read: it may be endless, and nobody wants it.
                client.stream(
                    "POST", url, content=message.body, headers=headers, extensions=extensions
                ) as response,
            ):
                self._judge(_shown(message.url), response)
        except httpx.HTTPError as error:
            raise Unreachable(f"no answer from {_shown(message.url)}: {error}") from error

    def _judge(self, shown: str, response: httpx.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        if status >= 500 or status in TRY_AGAIN:
            raise Unreachable(f"{shown} answers {status}", _retry_after(response))
        if 300 <= status < 400:
            raise Refused(f"{shown} redirects, which a callback does not follow")
        raise Refused(f"{shown} answers {status}")

    def _pinned(self, url: str) -> tuple[httpx.URL, str]:
        """The URL with the name replaced by an address that was checked, and the name for `Host`.

        The name is resolved once: a second look-up could be answered differently.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Refused("the callback address is no URL") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Refused("a callback address begins with https:// or http:// and names a host")
        if parsed.userinfo:
            raise Refused("a callback address holds no user name or password")
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        try:
            found = socket.getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Unreachable(f"the name {parsed.host} does not resolve") from error
        except (UnicodeError, OverflowError) as error:
            raise Refused("the callback address names no valid host") from error
        addresses = [str(entry[4][0]) for entry in found]
        if not self._config.allow_private and not all(is_public(each) for each in addresses):
            raise Refused(f"{parsed.host} is inside the portal's own network, or not public")
        return parsed.copy_with(host=addresses[0]), parsed.netloc.decode("ascii")


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        # An IPv4 address in disguise leads to where that one leads.
        if parsed in NAT64:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_global and not parsed.is_multicast


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of the header `X-Portal-Signature`."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def _shown(url: str) -> str:
    """The address without its path and query, which may hold a secret of the receiver's."""
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the receiver asks for, within reason."""
    asked = response.headers.get("retry-after", "")
    return min(float(asked), 3600.0) if asked.isdigit() else 1.0
