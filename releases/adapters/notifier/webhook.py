"""Delivers events to callback addresses, signed, and never into the portal's own network.

The receiver checks `X-Portal-Signature: sha256=<hex>`, the HMAC-SHA256 of "<timestamp>.<body>" under
the shared secret. Knows nothing of what the event says.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpcore
import httpx

from releases.adapters.notifier.pinned import PinnedBackend, resolve
from releases.adapters.retry_after import seconds_asked
from releases.ports import Message, Refused, Unreachable

# Answers that say "later": the same ones that HTTP itself means to be repeated.
TRY_AGAIN = frozenset({408, 425, 429})
FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """`allow_private`: whether addresses inside the portal's own network may be called. `seconds`: for the
    whole exchange, from the connection to the last header of the answer."""

    allow_private: bool = False
    seconds: float = 5.0


class WebhookNotifier:
    """Port `Notifier`."""

    def __init__(self, config: WebhookConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock

    def send(self, message: Message) -> None:
        """POST the body once. Redirects are not followed: they would pass by the address check."""
        url = _parsed(message.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.raw_host.decode("ascii")
        addresses = resolve(host, port, allow_private=self._config.allow_private)
        timestamp = str(int(self._clock()))
        headers: dict[bytes | str, bytes | str] = {
            "host": url.netloc.decode("ascii"),
            "content-type": "application/json",
            "content-length": str(len(message.body)),
            "connection": "close",
            "user-agent": "mlops-portal",
            "x-portal-delivery": message.delivery,
            "x-portal-timestamp": timestamp,
            "x-portal-signature": signature(message.secret, timestamp, message.body),
        }
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        backend = PinnedBackend(addresses, self._config.seconds)
        try:
            with (
                httpcore.ConnectionPool(network_backend=backend) as pool,
                # The body of the answer is never read: it may be endless, and nobody wants it.
                pool.stream("POST", target, headers=headers, content=message.body) as response,
            ):
                _judge(_shown(url), response)
        except FAILURES as error:
            why = str(error) or type(error).__name__
            raise Unreachable(f"no answer from {_shown(url)}: {why}") from error


def _judge(shown: str, response: httpcore.Response) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    if status >= 500 or status in TRY_AGAIN:
        raise Unreachable(f"{shown} answers {status}", _retry_after(response))
    if 300 <= status < 400:
        raise Refused(f"{shown} redirects, which a callback does not follow")
    raise Refused(f"{shown} answers {status}")


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Refused("the callback address is no URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Refused("a callback address begins with https:// or http:// and names a host")
    if parsed.userinfo:
        raise Refused("a callback address holds no user name or password")
    return parsed


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of the header `X-Portal-Signature`."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def _shown(url: httpx.URL) -> str:
    """The address without its path and query, which may hold a secret of the receiver's."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _retry_after(response: httpcore.Response) -> float:
    given = {name.lower(): value for name, value in response.headers}
    return seconds_asked(given.get(b"retry-after", b"").decode("ascii", "replace")) or 1.0
