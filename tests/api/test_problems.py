"""Every error is a problem document, whatever was sent."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client

from releases.api.problems import describe, flatten
from releases.domain.errors import Conflict, Forbidden, Invalid, NotFound
from releases.ports import Refused, Unreachable
from releases.services import commands
from tenants.roles import Role
from tests.api.conftest import HERE, Call, Scene, send

SLASH = chr(92)


def assert_problem(answer: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """The answer is a whole problem document; returns it."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    members = ["type", "title", "status", "detail", "code", "errors"]
    assert list(document) == members + (["state"] if status == 409 else [])
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:mlops-portal:problem:{code}"
    assert document["detail"]
    return document


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("no", fields={"name": ["bad"]}), 422, "invalid"),
        (Invalid("no", code="bad_plan"), 422, "bad_plan"),
        (Conflict("no", state={"phase": "canary"}), 409, "conflict"),
        (NotFound("no"), 404, "not_found"),
        (Forbidden("no"), 403, "forbidden"),
        (Unreachable("mlflow is away", 2.5), 503, "unreachable"),
        (Refused("no such run"), 422, "refused"),
        (OperationalError("secret dsn"), 503, "database_unreachable"),
        (ZeroDivisionError("secret"), 500, "internal_error"),
    ],
)
def test_describe_each_kind_of_error_has_its_status(error: Exception, status: int, code: str) -> None:
    problem = describe(error)
    assert (problem.status, problem.code) == (status, code)
    assert "secret" not in problem.detail


def test_describe_unreachable_engine_says_when_to_come_back() -> None:
    assert describe(Unreachable("away", 2.5)).headers == {"Retry-After": "3"}


def test_describe_conflict_carries_the_present_state() -> None:
    assert describe(Conflict("no", state={"phase": "canary"})).to_json()["state"] == {"phase": "canary"}


def test_flatten_nested_errors_have_dotted_paths() -> None:
    nested = {
        "plan": {"steps": [{}, {"weight": ["too large"]}]},
        "note": ["too long", "odd"],
        "non_field_errors": ["not an object"],
    }
    assert dict(flatten(nested)) == {
        "plan.steps.1.weight": ["too large"],
        "note": ["too long", "odd"],
        "body": ["not an object"],
    }


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v2/",
        "/api/v1/tenants/acme/nothing/",
        "/api/v1/tenants/acme/models",
        "/api/v1/tenants/A%00/models/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_unknown_route_is_a_problem(path: str, method: str) -> None:
    assert_problem(send(method, path), 404, "no_such_route")


def test_unknown_route_without_a_slash_says_so() -> None:
    assert "end in a slash" in send("get", HERE + "models").json()["detail"]


def test_unknown_method_is_405_and_tells_the_known_ones(call: Call) -> None:
    answer = call("delete", "models/")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_answer_that_cannot_be_given_in_the_wanted_type_is_406(call: Call) -> None:
    assert_problem(call("get", "models/", Accept="text/csv"), 406, "not_acceptable")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_body_of_another_type_is_415(scene: Scene, kind: str) -> None:
    headers = {"Authorization": f"Bearer {scene.tokens[Role.REQUESTER][1]}"}
    answer = Client().post(HERE + "models/", b'{"name": "x"}', content_type=kind, headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'name': 1}",
        b"\xff\xfe",
        b'{"name": "x",}',
        b"[" * 5_000,
        b'{"name": "\x00"}',
        b'{"name": "a\nb"}',
    ],
)
def test_body_that_is_not_json_is_400_and_an_empty_one_lacks_fields(scene: Scene, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {scene.tokens[Role.REQUESTER][1]}"}
    answer = Client().post(HERE + "models/", body, content_type="application/json", headers=headers)
    if body:
        assert_problem(answer, 400, "parse_error")
    else:
        assert assert_problem(answer, 422, "invalid")["errors"] == {"name": ["This field is required."]}


HOSTILE = [
    SLASH + "u0000",
    "a" + SLASH + "u0000b",
    SLASH + "ud800",
    SLASH + "udfff tail",
    SLASH + "ud83d",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "template",
    [
        '{"model": "%s", "version": "1.3.0", "environment": "staging"}',
        '{"model": "mead", "version": "%s", "environment": "staging"}',
        '{"model": "mead", "version": "1.3.0", "environment": "%s"}',
        '{"model": "mead", "version": "1.3.0", "environment": "staging", "note": "%s"}',
        '{"model": "mead", "version": "1.3.0", "environment": "staging", "callback_url": "http://%s"}',
        '{"model": "mead", "version": "1.3.0", "environment": "staging", "%s": 1}',
        '{"model": "mead", "version": "1.3.0", "environment": "staging", "plan": {"%s": 1}}',
        '{"model": "mead", "version": "1.3.0", "environment": "staging", "plan": {"promotion": "%s"}}',
    ],
)
def test_text_that_cannot_be_stored_is_422(scene: Scene, template: str, text: str) -> None:
    headers = {"Authorization": f"Bearer {scene.tokens[Role.REQUESTER][1]}"}
    body = (template % text).encode()
    answer = Client().post(HERE + "releases/", body, content_type="application/json", headers=headers)
    assert_problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "9" * 5_000,
        str(2**53),
        str(-(2**53)),
        "1" + "0" * 400,
    ],
)
@pytest.mark.parametrize("place", ["row_version", "alpha", "weight"])
def test_number_that_json_cannot_keep_is_422(scene: Scene, number: str, place: str) -> None:
    role, path, body = {
        "row_version": (Role.APPROVER, "releases/{waiting}/approve/", '{"row_version": %s}'),
        "alpha": (
            Role.REQUESTER,
            "releases/",
            '{"model": "mead", "version": "1.3.0", "environment": "staging", "plan": {"alpha": %s}}',
        ),
        "weight": (
            Role.REQUESTER,
            "releases/",
            '{"model": "mead", "version": "1.3.0", "environment": "staging", "plan": {"steps":'
            ' [{"weight": %s}]}}',
        ),
    }[place]
    headers = {"Authorization": f"Bearer {scene.tokens[role][1]}"}
    sent = (body % number).encode()
    answer = Client().post(scene.path(path), sent, content_type="application/json", headers=headers)
    assert_problem(answer, 422, "invalid")


@pytest.mark.parametrize(
    "body", [[], "text", 5, True, [[1]], {"name": ["x"]}, {"name": {"a": 1}}, {"name": None}]
)
def test_body_of_another_shape_is_422(call: Call, body: object) -> None:
    assert_problem(call("post", "models/", body=json.dumps(body)), 422, "invalid")


def test_name_given_twice_is_422(call: Call) -> None:
    assert_problem(call("post", "models/", body='{"name": "a", "name": "b"}'), 422, "invalid")


def test_nesting_without_end_is_422(call: Call) -> None:
    plan = '{"model": "mead", "version": "1.3.0", "environment": "staging", "plan": %s}'
    assert_problem(call("post", "releases/", body=plan % ("[" * 60 + "]" * 60)), 422, "invalid")


def test_unknown_field_is_named_with_the_known_ones(call: Call) -> None:
    problem = assert_problem(call("post", "models/", body={"name": "perry", "nmae": 1}), 422, "invalid")
    assert list(problem["errors"]) == ["nmae"]
    assert "registry_name" in problem["errors"]["nmae"][0]


def test_body_larger_than_allowed_is_413(call: Call) -> None:
    answer = call("post", "models/", body={"name": "x", "description": "x" * 1_100_000})
    assert_problem(answer, 413, "too_large")


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("Bearer mlp_unknown", "unknown, expired or revoked"),
        ("Bearer", "Write the header as"),
        ("Bearer a b", "Write the header as"),
        ("Basic YTpi", "not provided"),
        ("Bearer \xff", "unknown, expired or revoked"),
    ],
)
def test_bad_token_is_401_with_a_challenge(scene: Scene, header: str, detail: str) -> None:
    answer = send("get", HERE + "models/", Authorization=header)
    problem = assert_problem(answer, 401, answer.json()["code"])
    assert detail in problem["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_unexpected_error_is_a_problem_without_a_trace_and_is_logged(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*arguments: object, **options: object) -> None:
        raise RuntimeError("the secret is 1234")

    monkeypatch.setattr(commands, "add_model", break_down)
    answer = call("post", "models/", body={"name": "perry"})
    assert_problem(answer, 500, "internal_error")
    assert b"1234" not in answer.content
    assert "the secret is 1234" in caplog.text


def test_unreachable_registry_is_503_with_retry_after(call: Call, world: Any) -> None:
    world.registry.reachable = False
    answer = call("post", "models/wine/versions/", body={"run_id": "5f2c", "change": "patch"})
    assert_problem(answer, 503, "unreachable")
    assert answer.headers["Retry-After"] == "1"


def test_run_that_the_registry_does_not_know_is_422(call: Call, world: Any) -> None:
    answer = call("post", "models/wine/versions/", body={"run_id": "ffff", "change": "patch"})
    assert_problem(answer, 422, "refused")
