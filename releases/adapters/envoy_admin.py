"""Asks Envoy's admin interface, on a Unix socket or a loopback address.

Knows how to ask, not what the answers mean: that is the router's and the metric source's business.
"""

from collections.abc import Mapping
from typing import Any

import httpx

from releases.ports import Unreachable


class EnvoyAdmin:
    """One admin interface. `address` is the path of a Unix socket or an http:// URL."""

    def __init__(self, address: str, seconds: float = 3.0) -> None:
        on_network = address.startswith("http://")
        # No connection is kept: the client may be inherited over a fork, and Envoy may restart.
        transport = httpx.HTTPTransport(
            uds=None if on_network else address,
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        base = address if on_network else "http://envoy"
        self._client = httpx.Client(transport=transport, base_url=base, timeout=seconds)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a GET. Raises `Unreachable` when there is none."""
        try:
            response = self._client.get(path, params=query)
        except httpx.HTTPError as error:
            raise Unreachable(f"the gateway's admin interface does not answer: {error}") from error
        if response.status_code != 200:
            raise Unreachable(f"the gateway's admin interface answers {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise Unreachable("the gateway's admin interface answers no JSON") from error
