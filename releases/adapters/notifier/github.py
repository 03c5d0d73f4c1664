"""Sets statuses of commits on GitHub, or what speaks its REST API, with the portal's own token.

Knows GitHub's answers and how it limits the rate; must not know what a release is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from releases.adapters.retry_after import LONGEST_SECONDS, seconds_asked
from releases.ports import CommitStatus, Refused, Unreachable

VERSION = "2022-11-28"
LONGEST_SAID = 150
LATER = frozenset({408, 429})
# What GitHub means by its refusals; it does not tell what a token may not see from what is not there.
MEANING = {
    401: "the portal's GITHUB_TOKEN is not valid",
    403: "the portal's GITHUB_TOKEN may not set statuses there",
    404: "there is no such repository, or the portal's GITHUB_TOKEN does not see it",
    422: "there is no such commit, or it has 1000 statuses of this context",
}


@dataclass(frozen=True, slots=True)
class GitHubConfig:
    """Where the API is, and the token; an empty one sets nothing."""

    url: str
    token: str = field(repr=False)
    seconds: float = 5.0


class GitHubStatuses:
    """Port `CommitStatuses`."""

    def __init__(self, config: GitHubConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock

    def set(self, status: CommitStatus) -> None:
        """One POST. The last of a commit and context counts, so that it may be repeated."""
        if not self._config.token:
            raise Refused("the portal has no GITHUB_TOKEN to set statuses with")
        body = {
            "state": status.state,
            "context": status.context,
            "description": status.description,
            "target_url": status.target_url,
        }
        headers = {
            "authorization": f"Bearer {self._config.token}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": VERSION,
            "user-agent": "mlops-portal",
        }
        url = f"{self._config.url}/repos/{status.repository}/statuses/{status.sha}"
        try:
            with httpx.Client(timeout=self._config.seconds) as client:
                answer = client.post(url, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(f"GitHub does not answer: {str(error) or type(error).__name__}") from error
        self._judge(status, answer)

    def _judge(self, status: CommitStatus, answer: httpx.Response) -> None:
        code = answer.status_code
        if 200 <= code < 300:
            return
        wait = self._wait(answer)
        if code >= 500 or code in LATER or (code == 403 and wait is not None):
            raise Unreachable(f"GitHub answers {code}{_said(answer)}", 1.0 if wait is None else wait)
        if 300 <= code < 400:
            raise Refused(f"GitHub answers {code} for {status.repository}: it has another name now")
        meaning = MEANING.get(code, "GitHub does not accept the status")
        raise Refused(f"{status.repository}: {meaning} (GitHub answers {code}{_said(answer)})")

    def _wait(self, answer: httpx.Response) -> float | None:
        """Seconds for which GitHub wants to be left alone, within reason; None when it does not say."""
        asked = seconds_asked(answer.headers.get("retry-after", ""))
        if asked is not None:
            return asked
        reset = answer.headers.get("x-ratelimit-reset", "")
        if answer.headers.get("x-ratelimit-remaining") == "0" and reset.isascii() and reset.isdigit():
            return min(max(float(reset) - self._clock(), 1.0), LONGEST_SECONDS)
        return None


def _said(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        return ""
    said = content.get("message") if isinstance(content, dict) else None
    return f": {said[:LONGEST_SAID]}" if isinstance(said, str) and said else ""
