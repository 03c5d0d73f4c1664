"""Services and their mappings over the API."""

from typing import Any

import pytest
from django.utils import timezone

from releases.models import Service, ServiceRule
from tenants import traffic_keys
from tenants.models import AuditEvent
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented
from tests.api.test_problems import assert_problem

QUALITY = "services/quality/mappings/production/"
RULES = [{"tier": None, "model": "wine"}, {"tier": "premium", "model": "mead"}]


def put(call: Call, rules: object, path: str = QUALITY, role: Role = Role.ADMINISTRATOR) -> Any:
    return call("put", path, role, body={"rules": rules})


def test_mapping_of_an_unknown_service_adds_it_and_is_answered(call: Call) -> None:
    answer = put(call, RULES)
    assert answer.status_code == 200
    assert_documented("put", HERE + QUALITY, answer)
    assert answer.json() == {
        "service": "quality",
        "environment": "production",
        "url": "http://127.0.0.1:8080/services/production/v2/models/quality",
        "headers": {"tenant": "acme"},
        "rules": RULES,
        "unserved": [],
    }
    actions = AuditEvent.objects.order_by("sequence").values_list("action", "subject")
    assert list(actions)[-2:] == [
        ("service.added", "quality"),
        ("mapping.changed", "quality in production"),
    ]


def test_mapping_sent_twice_is_the_same_and_audited_once(call: Call) -> None:
    first = put(call, RULES)
    again = put(call, list(reversed(RULES)))
    assert (again.status_code, again.json()) == (200, first.json())
    event = AuditEvent.objects.get(action="mapping.changed")
    assert event.detail == {"before": {}, "after": {"default": "wine", "premium": "mead"}}
    assert event.actor == "administrator-bot"


def test_mapping_is_replaced_as_a_whole(call: Call) -> None:
    put(call, RULES)
    answer = put(call, [{"tier": "standard", "model": "cider"}])
    assert answer.json()["rules"] == [{"tier": "standard", "model": "cider"}]
    assert [str(rule) for rule in ServiceRule.objects.all()] == ["quality standard -> cider"]


def test_mapping_without_rules_leaves_a_service_that_answers_nobody(call: Call) -> None:
    put(call, RULES)
    assert put(call, []).json()["rules"] == []
    assert Service.objects.get().name == "quality"


def test_mapping_to_a_model_that_serves_nowhere_there_is_taken_and_says_so(call: Call) -> None:
    answer = put(call, RULES, "services/quality/mappings/staging/")
    assert answer.status_code == 200
    assert answer.json()["unserved"] == ["mead"]


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([{"tier": "gold", "model": "wine"}], "rules.0.tier"),
        ([{"tier": "", "model": "wine"}], "rules.0.tier"),
        ([{"model": "wine"}], "rules.0.tier"),
        ([{"tier": None}], "rules.0.model"),
        ([*RULES, {"tier": None, "model": "cider"}], "rules.2.tier"),
        ([{"tier": None, "model": "beer"}], "rules.0.model"),
        ([{"tier": None, "model": "secret"}], "rules.0.model"),
        ([{"tier": None, "model": "wine", "weight": 5}], "rules.0.weight"),
        (RULES * 2, "rules"),
        ("wine", "rules"),
    ],
)
def test_mapping_that_cannot_be_is_refused_at_its_field_and_changes_nothing(
    call: Call, scene: Scene, rules: object, field: str
) -> None:
    factories.model(scene.cast.globex, "secret")
    put(call, RULES)
    answer = put(call, rules)
    problem = assert_problem(answer, 422, answer.json()["code"])
    assert list(problem["errors"]) == [field]
    assert call("get", "services/").json()["results"][0]["mappings"][1]["rules"] == RULES


def test_mapping_in_an_unknown_environment_is_404_and_adds_no_service(call: Call) -> None:
    assert_problem(put(call, RULES, "services/quality/mappings/mars/"), 404, "not_found")
    assert not Service.objects.exists()


def test_mapping_by_an_operator_is_403_and_adds_no_service(call: Call) -> None:
    assert_problem(put(call, RULES, role=Role.OPERATOR), 403, "not_allowed")
    assert not Service.objects.exists()


def test_services_are_listed_with_their_mapping_in_every_environment(call: Call) -> None:
    put(call, RULES)
    put(call, [{"tier": "premium", "model": "cider"}], "services/apples/mappings/staging/")
    answer = call("get", "services/", Role.VIEWER)
    assert_documented("get", HERE + "services/", answer)
    rows = answer.json()["results"]
    assert [row["name"] for row in rows] == ["apples", "quality"]
    told = {row["name"]: {at["environment"]: at["rules"] for at in row["mappings"]} for row in rows}
    assert told == {
        "apples": {"staging": [{"tier": "premium", "model": "cider"}], "production": []},
        "quality": {"staging": [], "production": RULES},
    }


def test_services_tell_no_key(call: Call, scene: Scene) -> None:
    traffic_keys.make(scene.cast.acme, by="ada", at=timezone.now())
    put(call, RULES)
    said = call("get", "services/", Role.VIEWER).content.decode()
    assert traffic_keys.PREFIX not in said
    assert traffic_keys.keys_of(["acme"])["acme"][0] not in said


def test_services_are_walked_page_by_page(call: Call) -> None:
    for name in ("apples", "pears", "quinces"):
        put(call, [], f"services/{name}/mappings/production/")
    first = call("get", "services/?limit=2").json()
    assert [row["name"] for row in first["results"]] == ["apples", "pears"]
    rest = call("get", "services/" + "?" + first["next"].partition("?")[2]).json()
    assert [row["name"] for row in rest["results"]] == ["quinces"]
    assert rest["next"] is None


def test_services_of_another_tenant_are_not_listed(call: Call, scene: Scene) -> None:
    theirs = scene.cast.globex
    Service.objects.create(tenant=theirs, name="secret", created_at=factories.moment("2026-11-01 00:00:00"))
    assert call("get", "services/").json()["results"] == []
