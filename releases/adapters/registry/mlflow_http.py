"""The tracking server's REST API and its artifact proxy: requests, their errors, files to disk.

Knows addresses and wire formats, not what a registry is for. The SDK is left out on purpose: it
takes three seconds to import, and retries for minutes before it says that nobody answers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from releases.adapters.retry_after import seconds_asked
from releases.ports import Refused, Unreachable

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
LONGEST_MESSAGE = 300
MOST_FILES = 10_000
MOST_LEVELS = 32


class MissingResource(Refused):
    """The server knows no such thing."""


class TrackingServer:
    """One MLflow tracking server; safe to share among threads. `url` may hold name and password."""

    def __init__(self, url: str, timeout: float = 15.0) -> None:
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 3.0)),
            # No connection is kept: the client may be inherited over a fork, and MLflow may restart.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self.host = urlsplit(url).netloc.rpartition("@")[2]

    def get(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """GET of the REST API; raises `MissingResource`, `Refused` or `Unreachable`."""
        return self._json("GET", API + path, params=parameters)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST to the REST API; raises as `get` does."""
        return self._json("POST", API + path, json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH to the REST API; raises as `get` does."""
        return self._json("PATCH", API + path, json=body)

    def delete(self, path: str) -> None:
        """DELETE of the REST API; raises as `get` does."""
        self._json("DELETE", API + path)

    def read_artifact(self, location: str, name: str, most_bytes: int) -> bytes:
        """One small file below an artifact location."""
        content = bytearray()
        for chunk in self._chunks(f"{self._root(location)}/{name}"):
            content += chunk
            if len(content) > most_bytes:
                raise Refused(f"{name} is larger than {most_bytes} bytes")
        return bytes(content)

    def has_artifact(self, location: str, name: str) -> bool:
        """Whether the location holds a file of that name."""
        return any(entry["path"] == name for entry in self._list(self._root(location)))

    def download(self, location: str, directory: Path) -> int:
        """Write all files below an artifact location into `directory`; returns how many."""
        count = 0
        for path, target in self._walk(self._root(location), directory, MOST_LEVELS):
            count += 1
            if count > MOST_FILES:
                raise Refused(f"the artifact has more than {MOST_FILES} files")
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in self._chunks(path):
                    file.write(chunk)
        return count

    def _root(self, location: str) -> str:
        """The path below the proxy, for "mlflow-artifacts:/0/models/m-1/artifacts"."""
        parts = urlsplit(location)
        if parts.scheme != "mlflow-artifacts" or parts.netloc not in ("", self.host):
            raise Refused(
                f"the artifact is at {location[:LONGEST_MESSAGE]}, which the tracking server "
                "does not serve: start MLflow with --serve-artifacts"
            )
        return parts.path.strip("/")

    def _walk(self, path: str, directory: Path, levels: int) -> Iterator[tuple[str, Path]]:
        for entry in self._list(path):
            name = _checked(entry["path"])
            if not entry.get("is_dir"):
                yield f"{path}/{name}", directory / name
            elif levels:
                yield from self._walk(f"{path}/{name}", directory / name, levels - 1)
            else:
                raise Refused(f"the artifact has folders more than {MOST_LEVELS} deep")

    def _list(self, path: str) -> list[dict[str, Any]]:
        files = self._json("GET", ARTIFACTS, params={"path": path}).get("files", [])
        return list(files)

    def _chunks(self, path: str) -> Iterator[bytes]:
        try:
            with self._client.stream("GET", f"{ARTIFACTS}/{quote(path)}") as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    self._raise(response)
                yield from response.iter_bytes(1 << 20)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code != httpx.codes.OK:
            self._raise(response)
        try:
            content = response.json()
        except ValueError as error:
            raise Refused(f"what answers at {self.host} is not MLflow") from error
        if not isinstance(content, dict):
            raise Refused(f"what answers at {self.host} is not MLflow")
        return content

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        reason = (
            "does not answer in time"
            if isinstance(error, httpx.TimeoutException)
            else f"cannot be reached: {str(error)[:LONGEST_MESSAGE] or type(error).__name__}"
        )
        return Unreachable(f"MLflow at {self.host} {reason}")

    def _raise(self, response: httpx.Response) -> None:
        try:
            content = response.json()
        except ValueError:
            content = None
        answer = content if isinstance(content, dict) else {}
        message = str(answer.get("message") or f"HTTP {response.status_code}")[:LONGEST_MESSAGE]
        if response.status_code >= 500 or response.status_code in (408, 429):
            wait = seconds_asked(response.headers.get("retry-after", ""))
            raise Unreachable(f"MLflow at {self.host} is failing: {message}", wait or 1.0)
        if answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            raise MissingResource(message)
        raise Refused(f"MLflow refused: {message}")


def _checked(name: object) -> str:
    """A name from a listing is one plain path component, whatever the server says."""
    if (
        not isinstance(name, str)
        or name in ("", ".", "..")
        or any(character in name for character in "/\\\0")
    ):
        raise Refused(f"the artifact has a file with a forbidden name: {str(name)[:100]!r}")
    return name
