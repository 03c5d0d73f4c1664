"""Who calls: sessions with their CSRF token, request numbers, and the limit on requests."""

import pytest
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client
from redis.exceptions import ConnectionError as RedisIsAway

from releases.api import throttling
from tenants.models import AuditEvent
from tests.api.conftest import HERE, Call, Scene
from tests.api.test_problems import assert_problem


def log_in(scene: Scene) -> Client:
    """Ada in her browser."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(scene.cast.ada)
    return client


def test_session_reads_with_its_cookie_alone(scene: Scene) -> None:
    assert log_in(scene).get(HERE + "models/").status_code == 200


def test_session_writes_only_with_a_csrf_token(scene: Scene) -> None:
    client = log_in(scene)
    body = {"name": "perry"}
    refused = client.post(HERE + "models/", body, content_type="application/json")
    assert_problem(refused, 403, "permission_denied")
    assert "CSRF" in refused.json()["detail"]
    token = "a" * 32
    client.cookies["csrftoken"] = token
    answer = client.post(
        HERE + "models/", body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 201


def test_session_of_another_tenant_sees_nothing(scene: Scene) -> None:
    client = Client()
    client.force_login(scene.cast.mallory)
    assert_problem(client.get(HERE + "models/"), 404, "not_found")


def test_request_number_of_the_caller_is_kept_in_the_audit(call: Call) -> None:
    answer = call("post", "models/", body={"name": "perry"}, X_Request_Id="ci-run-4711")
    assert answer.headers["X-Request-Id"] == "ci-run-4711"
    assert AuditEvent.objects.get(action="model.added").request_id == "ci-run-4711"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>"])
def test_request_number_that_is_unfit_is_replaced(call: Call, given: str) -> None:
    number = call("get", "models/", X_Request_Id=given).headers["X-Request-Id"]
    assert number != given
    assert len(number) == 26


def test_answers_stay_out_of_caches(call: Call) -> None:
    assert call("get", "models/").headers["Cache-Control"] == "no-store"
    assert call("get", "models/none/").headers["Cache-Control"] == "no-store"


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, at the 15th second of a minute, and nothing has been counted."""
    monkeypatch.setattr(throttling.time, "time", lambda: 1_800_000_015.0)
    cache.clear()


def test_limit_one_request_too_many_is_429_until_the_next_minute(
    call: Call, settings: LazySettings, at_noon: None
) -> None:
    settings.API_RATE = 3
    assert [call("get", "models/").status_code for _ in range(3)] == [200, 200, 200]
    answer = call("get", "models/")
    assert_problem(answer, 429, "throttled")
    assert answer.headers["Retry-After"] == "45"


def test_limit_each_caller_has_an_own_one(
    call: Call, scene: Scene, settings: LazySettings, at_noon: None
) -> None:
    settings.API_RATE = 1
    assert call("get", "models/").status_code == 200
    assert call("get", "models/").status_code == 429
    assert log_in(scene).get(HERE + "models/").status_code == 200


def test_limit_without_redis_refuses_nobody(
    call: Call, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise RedisIsAway("connection refused")

    settings.API_RATE = 0
    monkeypatch.setattr(throttling.cache, "add", away)
    assert call("get", "models/").status_code == 200
