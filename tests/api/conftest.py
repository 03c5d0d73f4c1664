"""A tenant in full swing, and callers of every role."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from releases.api import catalog
from releases.domain.release import Phase
from tenants.roles import Role
from tests import factories
from tests.fakes import FakeWorld

HERE = "/api/v1/tenants/acme/"
Call = Callable[..., HttpResponse]


class Scene:
    """What the tests of the API look at. Releases by what they are in the middle of:

    `canary` wine 1.1.0 in production, `paused` wine 1.1.0 in staging, `waiting` cider 2.0.0 for one approval,
    `ended` mead 1.2.0, rolled back and on hold. Mead 1.3.0 has never been released.
    """

    def __init__(self) -> None:
        self.cast = factories.cast()
        acme = self.cast.acme
        self.staging = factories.environment(acme, "staging")
        self.production = factories.environment(
            acme, "production", approvals_required=1, requires_success_in=self.staging
        )
        wine, cider, mead = (factories.model(acme, name) for name in ("wine", "cider", "mead"))
        self.wine, self.cider, self.mead = wine, cider, mead
        wine_1, wine_2 = factories.version(wine, "1.0.0"), factories.version(wine, "1.1.0")
        cider_1, cider_2 = factories.version(cider, "1.0.0"), factories.version(cider, "2.0.0")
        mead_1, mead_2, mead_3, _ = (factories.version(mead, f"1.{minor}.0") for minor in range(4))
        at_wine = factories.endpoint(self.production, wine, stable=wine_1)
        self.canary = factories.release(at_wine, wine_2, callback_url="https://ci.example/hook")
        self.delivery = self.canary.deliveries.get()
        in_staging = factories.endpoint(self.staging, wine, stable=wine_1)
        self.paused = factories.release(in_staging, wine_2, Phase.PAUSED)
        at_cider = factories.endpoint(self.production, cider, stable=cider_1)
        self.waiting = factories.release(at_cider, cider_2, Phase.AWAITING_APPROVAL, approvals_required=1)
        self.at_mead = factories.endpoint(self.production, mead, stable=mead_2, previous=mead_1)
        self.ended = factories.release(self.at_mead, mead_3, Phase.ROLLED_BACK)
        self.hold = factories.hold(self.ended)
        self.tokens = {role: factories.token(acme, role) for role in Role}
        self.stranger = factories.token(self.cast.globex, Role.ADMINISTRATOR, name="stranger")
        self.spare, _ = factories.token(acme, name="spare")

    def path(self, template: str) -> str:
        """An address below the tenant, with the ids of this scene."""
        names = ("canary", "paused", "waiting", "ended", "spare", "delivery")
        return HERE + template.format(**{name: getattr(self, name).pk for name in names})


@pytest.fixture
def scene(db: None) -> Scene:
    """Two tenants, three models, four releases."""
    return Scene()


@pytest.fixture
def call(scene: Scene) -> Call:
    """Call the API with the token of a role: `call("get", "models/", Role.VIEWER)`."""

    def call(method: str, path: str, role: Role | None = Role.ADMINISTRATOR, **options: Any) -> HttpResponse:
        text = scene.tokens[role][1] if role else ""
        return send(method, scene.path(path), text, **options)

    return call


def send(method: str, path: str, token: str = "", body: object = None, **headers: str) -> HttpResponse:
    """One request with JSON; `headers` with underscores for hyphens."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    client = Client(raise_request_exception=False)
    if body is None:
        answer: HttpResponse = getattr(client, method)(path, headers=sent)
    else:
        answer = getattr(client, method)(path, body, content_type="application/json", headers=sent)
    return answer


@pytest.fixture
def world(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    """The engines in memory: the registry has the scene's versions of wine, and one more run is logged."""
    world = FakeWorld()
    for known in scene.wine.versions.order_by("registry_version"):
        world.registry.log(known.run_id)
        tags = {"semantic_version": str(known.version)}
        world.registry.register(scene.wine.registry_name, known.run_id, "model", tags, "")
    world.registry.log("5f2c", "model")
    monkeypatch.setattr(catalog.factory, "ports", lambda kind: world.ports)
    return world


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    document: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return document


def assert_documented(method: str, path: str, answer: HttpResponse) -> None:
    """The answer is one that the OpenAPI document describes: status, type and every field."""
    route = "/" + resolve(path).route
    for converter in ("name", "release", "version", "int"):
        route = route.replace(f"<{converter}:", "{")
    operation = openapi()["paths"][route.replace(">", "}")][method]
    described = operation["responses"][str(answer.status_code)]
    if "content" not in described:
        assert not answer.content
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    schema = described["content"][kind]["schema"]
    if kind == "application/x-ndjson":  # many documents, streamed
        return
    shape = {**schema, "components": openapi()["components"]}
    Draft202012Validator(shape, format_checker=FormatChecker()).validate(answer.json())
