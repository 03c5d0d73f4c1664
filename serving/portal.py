"""Registers a logged model through the portal's REST API, which gives it its semantic version.

The version is given there and not here: two that register at once never get the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from serving.errors import Unreachable

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class Portal:
    """Where the portal is, and as whom it is asked."""

    url: str
    token: str
    tenant: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Portal | None":
        """The portal that PORTAL_URL, PORTAL_TOKEN and PORTAL_TENANT name; None when one is missing."""
        names = ("PORTAL_URL", "PORTAL_TOKEN", "PORTAL_TENANT")
        given = [environment.get(name, "") for name in names]
        return cls(*given) if all(given) else None

    def register(self, model: str, run_id: str, artifact_path: str, change: str, description: str) -> str:
        """The semantic version of the run's model; the model is made known when it is not yet.

        Raises `Unreachable`, naming the run, which then waits to be registered by hand."""
        try:
            return self._registered(model, run_id, artifact_path, change, description)
        except Unreachable as error:
            raise Unreachable(f"{error}; the model is logged, not registered: run {run_id}") from error

    def _registered(self, model: str, run_id: str, artifact_path: str, change: str, description: str) -> str:
        place = f"models/{quote(model, safe='')}/"
        if self.call("GET", place).status_code == 404:
            # Somebody else may be a moment faster, which is as good.
            self.call("POST", "models/", {"name": model, "description": description}, allowed=(409,))
        content = {
            "run_id": run_id,
            "artifact_path": artifact_path,
            "change": change,
            "description": description,
        }
        answer = self.call("POST", f"{place}versions/", content)
        if answer.status_code == 404:
            raise Unreachable(f"the portal knows no model {model} of the tenant {self.tenant}")
        version: str = answer.json()["version"]
        return version

    def call(
        self,
        method: str,
        place: str,
        content: Mapping[str, Any] | None = None,
        allowed: tuple[int, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One request; 404 and what is allowed come back, other failures raise `Unreachable`."""
        url = f"{self.url.rstrip('/')}/api/v1/tenants/{quote(self.tenant, safe='')}/{place}"
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        try:
            answer = requests.request(method, url, json=content, headers=headers, timeout=TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise Unreachable(f"the portal did not answer: {type(error).__name__}") from error
        if not answer.ok and answer.status_code not in (404, *allowed):
            raise Unreachable(f"the portal answered {answer.status_code}: {_detail(answer)}")
        return answer


def _detail(answer: requests.Response) -> str:
    """What a problem of RFC 9457 says, or the beginning of whatever came."""
    try:
        problem = answer.json()
    except ValueError:
        return " ".join(answer.text.split())[:300]
    return str(problem.get("detail") or problem) if isinstance(problem, dict) else str(problem)[:300]
