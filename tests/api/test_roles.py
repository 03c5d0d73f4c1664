"""Every call x every role x a stranger: who gets in, and who learns nothing."""

from typing import Any, NamedTuple

import pytest

from releases.api.urls import tenant_routes
from tenants.roles import CAPABILITIES, Capability, Role
from tests.api.conftest import Call, Scene, assert_documented, send
from tests.fakes import FakeWorld

VIEW, REQUEST, APPROVE, OPERATE, ADMINISTER = Capability
REASON = {"reason": "because"}


class Row(NamedTuple):
    """One call: what it takes, and what it answers then."""

    method: str
    path: str
    needs: Capability
    status: int = 200
    body: dict[str, Any] | None = None


RELEASE = {"model": "mead", "version": "1.3.0", "environment": "staging"}
CALLS = [
    Row("get", "models/", VIEW),
    Row("post", "models/", REQUEST, 201, {"name": "perry"}),
    Row("get", "models/wine/", VIEW),
    Row("get", "models/wine/versions/", VIEW),
    Row("post", "models/wine/versions/", REQUEST, 201, {"run_id": "5f2c", "change": "minor"}),
    Row("get", "models/wine/versions/1.1.0/", VIEW),
    Row("get", "environments/", VIEW),
    Row("get", "environments/production/", VIEW),
    Row("patch", "environments/production/", ADMINISTER, 200, {"approvals_required": 2}),
    Row("get", "endpoints/", VIEW),
    Row("get", "endpoints/production/wine/", VIEW),
    Row("post", "endpoints/production/mead/rollback/", OPERATE, 201, REASON),
    Row("post", "endpoints/production/mead/replay/", VIEW, 200, {"plan": {"alpha": 0.05}}),
    Row("delete", "endpoints/production/mead/hold/", OPERATE, 200, REASON),
    Row("get", "releases/", VIEW),
    Row("post", "releases/", REQUEST, 201, RELEASE),
    Row("post", "releases/forecast/", VIEW, 200, RELEASE),
    Row("get", "releases/{canary}/", VIEW),
    Row("get", "releases/{ended}/wait/?timeout=1", VIEW),
    Row("post", "releases/{waiting}/approve/", APPROVE, 200, {}),
    Row("post", "releases/{waiting}/reject/", APPROVE, 200, {"comment": "no"}),
    Row("post", "releases/{canary}/pause/", OPERATE, 200, REASON),
    Row("post", "releases/{paused}/resume/", OPERATE, 200, REASON),
    Row("post", "releases/{canary}/promote/", OPERATE, 200, REASON),
    Row("post", "releases/{canary}/abort/", OPERATE, 200, REASON),
    Row("get", "releases/{canary}/transitions/", VIEW),
    Row("get", "releases/{canary}/samples/", VIEW),
    Row("get", "releases/{canary}/checks/", VIEW),
    Row("get", "releases/{canary}/approvals/", VIEW),
    Row("get", "releases/{canary}/evidence/", VIEW),
    Row("get", "releases/{canary}/deliveries/", VIEW),
    Row("post", "releases/{canary}/deliveries/{delivery}/resend/", OPERATE, 200, {}),
    Row("get", "releases/{canary}/replay/", VIEW),
    Row("get", "services/", VIEW),
    Row("put", "services/quality/mappings/production/", ADMINISTER, 200, {"rules": []}),
    Row("get", "audit/", VIEW),
    Row("get", "tokens/", ADMINISTER),
    Row("post", "tokens/", ADMINISTER, 201, {"name": "new", "role": "viewer"}),
    Row("delete", "tokens/{spare}/", ADMINISTER, 204),
]
EVERY_CALL = pytest.mark.parametrize("row", CALLS, ids=lambda row: f"{row.method} {row.path}")


@EVERY_CALL
@pytest.mark.parametrize("role", Role)
def test_call_role_gets_what_it_may_and_403_otherwise(
    call: Call, scene: Scene, world: FakeWorld, row: Row, role: Role
) -> None:
    answer = call(row.method, row.path, role, body=row.body)
    assert answer.status_code == (row.status if row.needs in CAPABILITIES[role] else 403), answer.content
    assert_documented(row.method, scene.path(row.path).partition("?")[0], answer)


@EVERY_CALL
def test_call_stranger_is_answered_as_if_the_tenant_did_not_exist(scene: Scene, row: Row) -> None:
    path = scene.path(row.path)
    here = send(row.method, path, scene.stranger[1], row.body)
    nowhere = send(row.method, path.replace("/acme/", "/nobody/"), scene.stranger[1], row.body)
    assert (here.status_code, here.content) == (404, nowhere.content)
    assert_documented(row.method, path.partition("?")[0], here)


@EVERY_CALL
def test_call_without_token_is_asked_for_one(scene: Scene, row: Row) -> None:
    answer = send(row.method, scene.path(row.path), "", row.body)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mlops-portal"'


def test_table_names_every_call_that_there_is() -> None:
    there = 0
    for pattern in tenant_routes:
        views = getattr(pattern, "url_patterns", [pattern])
        there += sum(len(view.callback.actions.keys() - {"head"}) for view in views)
    assert len({(row.method, row.path) for row in CALLS}) == there
