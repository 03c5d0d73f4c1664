"""One request to the portal, as often as it takes: patience with networks, restarts and limits.

What may be repeated is repeated: connection errors, 429 as long as `Retry-After` says, and answers of a
portal that is just starting. What must not be repeated blindly raises `Unsure` as soon as it may have been
done. Problem documents become `Refused`. Knows no call of the API; clock and sleep are given.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from portal_cli import __version__
from portal_cli.configuration import Connection
from portal_cli.errors import NotReachable, Refused, Unsure
from portal_cli.plain import plain

PATIENCE_SECONDS = 120.0
LONGEST_PAUSE = 15.0
_STARTING = frozenset({500, 502, 503, 504})
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request that failed and may be tried again: why, the least pause, whether it may have been done."""

    sentence: str
    pause: float | None
    maybe_done: bool


@dataclass(slots=True)
class Patience:
    """How long trouble may last in a row (seconds), and who is told. `until`: not beyond this moment."""

    seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    notice: Callable[[str], None]
    until: float = math.inf


class Http:
    """The tenant's part of the API; paths are below `/api/v1/tenants/{tenant}/`."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self.patience = patience
        self._url = connection.url
        self._where = f"the portal at {connection.url}"
        self._client = httpx.Client(
            base_url=f"{connection.url}/api/v1/tenants/{quote(connection.tenant, safe='')}/",
            headers={
                "Authorization": f"Bearer {connection.token}",
                "Accept": "application/json",
                "User-Agent": f"mlops-portal-cli/{__version__}",
            },
            timeout=httpx.Timeout(_TIMEOUT, connect=10.0),
        )

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def get(self, path: str, wait: float = 0.0, **query: Any) -> Any:
        """The answer's JSON; `wait` is how long the portal may think on purpose, in seconds."""
        return self._send("GET", path, repeatable=True, params=query, timeout=_TIMEOUT + wait)

    def post(
        self, path: str, body: Mapping[str, Any], *, repeatable: bool = False, key: str | None = None
    ) -> Any:
        """The answer's JSON. With an idempotency key it may be repeated; else `Unsure` may be raised."""
        headers = {"Idempotency-Key": key} if key else {}
        return self._send("POST", path, repeatable=repeatable or bool(key), json=body, headers=headers)

    def _send(self, method: str, path: str, *, repeatable: bool, **options: Any) -> Any:
        since, failures = None, 0
        while True:
            answer = self._try(method, path, **options)
            if not isinstance(answer, Trouble):
                if since is not None:
                    self.patience.notice(
                        f"the portal answers again after {self.patience.clock() - since:.0f} s"
                    )
                return self._read(answer)
            if answer.maybe_done and not repeatable:
                raise Unsure(answer.sentence)
            now = self.patience.clock()
            since = now if since is None else since
            self._pause(answer, now, since, failures)
            failures += 1

    def _try(self, method: str, path: str, **options: Any) -> httpx.Response | Trouble:
        try:
            answer = self._client.request(method, path, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Trouble(f"{self._where} is not reachable ({_why(error)})", None, maybe_done=False)
        except httpx.TransportError as error:
            return Trouble(f"{self._where} did not answer ({_why(error)})", None, maybe_done=True)
        except (httpx.InvalidURL, httpx.DecodingError, UnicodeError) as error:
            raise NotReachable(f"{self._url} cannot be asked: {_why(error)}.") from error
        if answer.status_code == 429:
            return Trouble("the portal limits how often it is asked", _retry_after(answer), maybe_done=False)
        if answer.status_code in _STARTING:
            said = f"{self._where} answers {answer.status_code}: {_sentence(answer)}".rstrip(": ")
            return Trouble(said, _retry_after(answer), maybe_done=True)
        return answer

    def _pause(self, trouble: Trouble, now: float, since: float, failures: int) -> None:
        backoff = min(LONGEST_PAUSE, 0.5 * 2.0 ** min(failures, 10))
        # Many clients that lost the same portal should not come back in step.
        pause = max(trouble.pause or 0.0, backoff * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        left = min(since + self.patience.seconds, self.patience.until) - now
        if left > 0 and not trouble.pause:
            pause = min(pause, left)  # one last attempt at the very end
        if pause > left:
            asked = f" and asks for a pause of {pause:.0f} s" if trouble.pause else ""
            raise NotReachable(
                f"{trouble.sentence[:1].upper()}{trouble.sentence[1:]}{asked}. "
                f"Tried {failures + 1} times in {max(0.0, now - since):.0f} s."
            )
        if failures == 0 or pause > LONGEST_PAUSE:
            self.patience.notice(f"{trouble.sentence}; trying again for up to {left:.0f} s")
        self.patience.sleep(pause)

    def _read(self, answer: httpx.Response) -> Any:
        if answer.is_redirect:
            to = plain(answer.headers.get("location", ""))
            raise NotReachable(f"{self._url} sends on to {to}; set PORTAL_URL to the portal's own address.")
        try:
            document = answer.json()
        except ValueError as error:
            raise NotReachable(
                f"What answers at {self._url} is not the portal's API: {answer.status_code} without JSON."
            ) from error
        if answer.is_success:
            return document
        raise _refused(answer, document if isinstance(document, Mapping) else {})


def _refused(answer: httpx.Response, document: Mapping[str, Any]) -> Refused:
    said = plain(document.get("detail", "")) or f"The portal answers {answer.status_code}."
    if answer.status_code == 401:
        said = f"The portal does not accept the token: {said} An administrator makes one."
    return Refused(said, status=answer.status_code, document=document)


def _sentence(answer: httpx.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        return ""
    return plain(document.get("detail", ""), 200) if isinstance(document, Mapping) else ""


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds, or a date, as RFC 9110 has it; None when it says nothing usable."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 7:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _why(error: Exception) -> str:
    """The cause in a few words; the innermost one, for httpx wraps them."""
    return plain(str(error) or type(error).__name__, 160)
