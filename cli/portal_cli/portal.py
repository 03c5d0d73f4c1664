"""The calls of the API that the commands need, as values. Knows addresses and shapes, nothing of commands."""

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from portal_cli.documents import PHASES, Check, Release, Transition, transitions
from portal_cli.errors import Refused
from portal_cli.http import Http

LONGEST_WAIT = 60
PAGE = 200


class Portal:
    """One tenant of the portal."""

    def __init__(self, http: Http) -> None:
        self.http = http

    # ---- reading -----------------------------------------------------------------------------------
    def version(self, model: str, version: str) -> Mapping[str, Any]:
        """A registered version."""
        found: Mapping[str, Any] = self.http.get(_path("models", model, "versions", version))
        return found

    def endpoint(self, environment: str, model: str) -> Mapping[str, Any] | None:
        """What serves; None where nothing was ever released."""
        try:
            found: Mapping[str, Any] = self.http.get(_path("endpoints", environment, model))
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return found

    def release(self, release: str) -> Release:
        """One release, as it is now."""
        return Release.read(self.http.get(_path("releases", release)))

    def wait(self, release: Release, seconds: float) -> Release:
        """The release when it has left its phase, or when the time is over."""
        others = ",".join(phase for phase in PHASES if phase != release.phase)
        timeout = max(1, min(LONGEST_WAIT, math.ceil(seconds)))
        path = _path("releases", release.id, "wait")
        return Release.read(self.http.get(path, wait=timeout, phase=others, timeout=timeout))

    def newest(self, model: str, version: str | None, environment: str) -> Release | None:
        """The active release of a version (of any, without one), else the newest that has ended."""
        for active in ("true", "false"):
            for found in self._list("releases/", model=model, environment=environment, active=active):
                if version is None or found.get("version") == version:
                    return self.release(str(found.get("id")))
        return None

    def history(self, release: str) -> tuple[Transition, ...]:
        """All that has happened."""
        return transitions(list(self._list(_path("releases", release, "transitions"))))

    def checks(self, release: str) -> list[Check]:
        """The validation and the smoke test."""
        return [Check.read(value) for value in self._list(_path("releases", release, "checks"))]

    def evidence(self, release: str) -> Mapping[str, Any]:
        """The whole record."""
        found: Mapping[str, Any] = self.http.get(_path("releases", release, "evidence"))
        return found

    def knock(self) -> None:
        """Whether token and tenant fit; raises what is wrong."""
        self.http.get("releases/", limit=1)

    # ---- writing -----------------------------------------------------------------------------------
    def forecast(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What to expect of a release; files nothing, so it may be asked again."""
        found: Mapping[str, Any] = self.http.post("releases/forecast/", body, repeatable=True)
        return found

    def file(self, body: Mapping[str, Any], key: str) -> Release:
        """File a release; the same key answers with the same one, so a lost answer does no harm."""
        return Release.read(self.http.post("releases/", body, key=key))

    def act(self, release: str, act: str, body: Mapping[str, Any]) -> Release:
        """One act on a release; may raise `Unsure`."""
        return Release.read(self.http.post(_path("releases", release, act), body))

    def go_back(self, environment: str, model: str, reason: str) -> Release:
        """A release of the previous version; may raise `Unsure`."""
        path = _path("endpoints", environment, model, "rollback")
        return Release.read(self.http.post(path, {"reason": reason}))

    def _list(self, path: str, **query: Any) -> Iterator[Mapping[str, Any]]:
        """Every entry. The addresses of pages are the portal's public ones: only their cursor is taken."""
        cursor: dict[str, Any] = {}
        while True:
            page = self.http.get(path, limit=PAGE, **query, **cursor)
            results = page.get("results") if isinstance(page, Mapping) else None
            yield from (value for value in results or () if isinstance(value, Mapping))
            following = parse_qs(urlsplit(str(page.get("next") or "")).query).get("cursor")
            if not following or following[0] == cursor.get("cursor"):
                return
            cursor = {"cursor": following[0]}


def _path(*parts: str) -> str:
    return "".join(f"{quote(part, safe='')}/" for part in parts)
