"""Models and versions over the API."""

import pytest

from releases.models import ModelVersion
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented
from tests.api.test_problems import assert_problem
from tests.fakes import FakeWorld

VERSION_KEYS = [
    *("version", "registry_version", "run_id", "digest", "signature", "metrics", "source"),
    *("created_at", "aliases", "composition"),
]


def test_model_is_made_known_under_its_own_name_unless_told(call: Call) -> None:
    shown = call("post", "models/", Role.REQUESTER, body={"name": "perry"}).json()
    assert (shown["name"], shown["registry_name"]) == ("perry", "perry")
    again = call("post", "models/", Role.REQUESTER, body={"name": "perry"})
    assert_problem(again, 409, "exists")


@pytest.mark.parametrize("name", ["", "Perry", "-perry", "p" * 41, "pe rry", "pe/rry", "..", None, 5.5, True])
def test_model_name_that_cannot_stand_in_an_address_is_422(call: Call, name: object) -> None:
    assert "name" in assert_problem(call("post", "models/", body={"name": name}), 422, "invalid")["errors"]


def test_model_registry_name_of_another_tenant_cannot_be_taken(call: Call, scene: Scene) -> None:
    factories.model(scene.cast.globex, "secret", registry_name="globex-secret")
    answer = call("post", "models/", body={"name": "mine", "registry_name": "globex-secret"})
    assert_problem(answer, 409, "exists")


def test_model_of_another_tenant_is_unknown(call: Call, scene: Scene) -> None:
    factories.model(scene.cast.globex, "secret")
    assert_problem(call("get", "models/secret/"), 404, "not_found")
    assert_problem(call("get", "models/secret/versions/"), 404, "not_found")


def test_version_has_all_members_in_the_order_of_the_description(call: Call) -> None:
    shown = call("get", "models/wine/versions/1.1.0/").json()
    assert list(shown) == VERSION_KEYS
    assert (shown["version"], shown["registry_version"]) == ("1.1.0", 2)
    assert shown["created_at"].endswith("Z")


def test_versions_are_listed_newest_registration_first_with_the_untagged(call: Call, scene: Scene) -> None:
    factories.version(scene.wine, None, digest="", signature=None)
    answer = call("get", "models/wine/versions/")
    rows = answer.json()["results"]
    assert [row["version"] for row in rows] == [None, "1.1.0", "1.0.0"]
    assert (rows[0]["digest"], rows[0]["signature"]) == (None, None)
    assert_documented("get", HERE + "models/wine/versions/", answer)


@pytest.mark.parametrize("version", ["9.9.9", "1.1", "latest", "1.1.0-rc.1"])
def test_version_unknown_is_404(call: Call, version: str) -> None:
    assert_problem(call("get", f"models/wine/versions/{version}/"), 404, "not_found")


@pytest.mark.parametrize(("change", "number"), [("major", "2.0.0"), ("minor", "1.2.0"), ("patch", "1.1.1")])
def test_register_gives_the_next_number_and_tags_it(
    call: Call, scene: Scene, world: FakeWorld, change: str, number: str
) -> None:
    body = {"run_id": "5f2c", "change": change, "description": "deeper trees"}
    answer = call("post", "models/wine/versions/", Role.REQUESTER, body=body)
    assert (answer.status_code, answer.json()["version"]) == (201, number)
    *_, registered = world.registry.list_versions(scene.wine.registry_name)
    assert registered.tags["semantic_version"] == number
    assert ModelVersion.objects.get(model=scene.wine, version=number).run_id == "5f2c"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"change": "minor"}, "run_id"),
        ({"run_id": "5f2c"}, "change"),
        ({"run_id": "5f2c", "change": "huge"}, "change"),
        ({"run_id": "../x", "change": "minor"}, "run_id"),
        ({"run_id": "5f2c", "change": "minor", "artifact_path": ""}, "artifact_path"),
        ({"run_id": "5f2c", "change": "minor", "version": "3.0.0"}, "version"),
    ],
)
def test_register_bad_content_is_named(
    call: Call, world: FakeWorld, body: dict[str, object], field: str
) -> None:
    problem = assert_problem(call("post", "models/wine/versions/", body=body), 422, "invalid")
    assert list(problem["errors"]) == [field]
