"""The portal as its callers see it: CI with a token, a person with a log-in. Only HTTP."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx

from mlops_portal.demo.errors import StoryFailed

Document = dict[str, Any]


class Problem(StoryFailed):
    """The portal refused; `detail` is its sentence."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail


def cast_of(file: Path) -> Document:
    """The log-ins, the token and the addresses in `var/demo.json`."""
    return cast(Document, json.loads(file.read_text()))


class Caller:
    """Requests to one tenant's API; raises `Problem` for what is refused."""

    def __init__(self, portal: str, tenant: str, headers: Mapping[str, str]) -> None:
        self.http = httpx.Client(base_url=portal, headers=dict(headers), timeout=30, trust_env=False)
        self.tenant = tenant
        self._base = f"/api/v1/tenants/{tenant}/"

    def get(self, path: str) -> Document:
        """GET below the tenant."""
        return checked(self.http.get(self._base + path))

    def post(self, path: str, body: Document, **headers: str) -> Document:
        """POST below the tenant."""
        return checked(self.http.post(self._base + path, json=body, headers=headers))


class Ci(Caller):
    """What a pipeline does, with its token."""

    def __init__(self, cast: Document) -> None:
        bearer = {"Authorization": f"Bearer {cast['tokens']['ci-wine']}"}
        super().__init__(cast["portal"], cast["tenant"], bearer)

    def versions(self, model: str) -> set[str]:
        """The semantic versions there are."""
        found = self.get(f"models/{model}/versions/?limit=200")["results"]
        return {row["version"] for row in found if row["version"]}

    def register(self, model: str, run_id: str, change: str, description: str) -> Document:
        """Register a run as the next major, minor or patch version."""
        body = {"run_id": run_id, "change": change, "description": description}
        return self.post(f"models/{model}/versions/", body)

    def file(self, body: Document, key: str) -> Document:
        """File a release; the same key again answers with the same release."""
        return self.post("releases/", body, **{"Idempotency-Key": key})

    def release(self, release_id: str) -> Document:
        """A release as it stands."""
        return self.get(f"releases/{release_id}/")

    def ended(self, release_id: str, seconds: int = 20) -> Document:
        """A release once it has ended, or as it stands after some seconds."""
        return self.get(f"releases/{release_id}/wait/?timeout={seconds}")

    def transitions(self, release_id: str) -> list[Document]:
        """Its history, in order."""
        rows = self.get(f"releases/{release_id}/transitions/?limit=200")["results"]
        return sorted(rows, key=lambda row: cast(int, row["sequence"]))

    def failed_checks(self, release_id: str) -> list[Document]:
        """The checks that said no."""
        rows = self.get(f"releases/{release_id}/checks/?limit=200")["results"]
        return [row for row in rows if row["outcome"] == "fail"]


class Person(Caller):
    """Somebody in a browser: logged in by the page's form, with its cookie and its CSRF token."""

    def __init__(self, cast: Document, username: str) -> None:
        super().__init__(cast["portal"], cast["tenant"], {"Referer": cast["portal"] + "/"})
        page = self.http.get("/login/")
        field = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if page.status_code != 200 or field is None:
            raise StoryFailed(f"the log-in page answers {page.status_code} and has no form")
        form = {
            "csrfmiddlewaretoken": field[1],
            "username": username,
            "password": cast["users"][username],
        }
        answer = self.http.post("/login/", data=form)
        if answer.status_code != 302:
            raise StoryFailed(f"{username} cannot log in: the form answers {answer.status_code}")
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"]

    def approve(self, release_id: str, comment: str) -> Document:
        """Agree to a release."""
        return self.post(f"releases/{release_id}/approve/", {"comment": comment})


def checked(answer: httpx.Response) -> Document:
    """The answer's document, or its problem as an exception."""
    if answer.is_success:
        return cast(Document, answer.json())
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    detail = str(problem.get("detail") or answer.text[:300])
    raise Problem(answer.status_code, str(problem.get("code", "")), detail)
