"""What others do in the registry is mirrored."""

from dataclasses import dataclass, field

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from releases.models import ModelVersion
from releases.ports import Refused, RegisteredVersion, Unreachable
from releases.services.catalog import discover, poll
from tests import factories
from tests.fakes_registry import SIGNATURE, FakeRegistry
from tests.services.rig import START, Rig

NAME = "acme-wine"


@pytest.fixture
def registry() -> FakeRegistry:
    registry = FakeRegistry()
    registry.log("run-1", metrics={"accuracy": 0.9})
    return registry


def add(registry: FakeRegistry, name: str = NAME, **tags: str) -> int:
    return registry.register(name, "run-1", "model", tags, "by hand").number


def test_discover_new_versions_are_mirrored_once(rig: Rig, registry: FakeRegistry) -> None:
    add(registry, semantic_version="1.0.0")
    add(registry, semantic_version="1.1.0", team="pricing")
    registry.annotate(NAME, 2, {}, ["fresh"])
    found = discover(registry, rig.model, START)
    assert [row.version for row in found] == ["1.0.0", "1.1.0"]
    row = ModelVersion.objects.get(version="1.1.0")
    assert (row.registry_version, row.minor, row.note) == (2, 1, "")
    assert (row.signature, row.metrics) == (SIGNATURE, {"accuracy": 0.9})
    assert (row.tags, row.aliases) == ({"semantic_version": "1.1.0", "team": "pricing"}, ["fresh"])
    assert discover(registry, rig.model, START) == []
    assert ModelVersion.objects.count() == 2


def test_discover_without_anything_new_asks_once_and_locks_nothing(rig: Rig, registry: FakeRegistry) -> None:
    add(registry, semantic_version="1.0.0")
    discover(registry, rig.model, START)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        discover(registry, rig.model, START)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 2
    assert not any("FOR NO KEY UPDATE" in statement for statement in statements)


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ({}, "no tag semantic_version in the registry"),
        ({"semantic_version": "v7"}, "tag semantic_version in the registry: 'v7' is not a semantic version"),
        ({"semantic_version": f"1.0.0-{'a' * 110}"}, "tag semantic_version in the registry: the pre-release"),
        (
            {"semantic_version": "1.0.0"},
            "tag semantic_version in the registry: 1.0.0 is its version 1 already",
        ),
    ],
)
def test_discover_version_without_a_usable_tag_is_kept_with_a_note(
    rig: Rig, registry: FakeRegistry, tags: dict[str, str], note: str
) -> None:
    add(registry, semantic_version="1.0.0")
    add(registry, **tags)
    discover(registry, rig.model, START)
    row = ModelVersion.objects.get(registry_version=2)
    assert row.version is None
    assert row.note.startswith(note)


def test_discover_tag_that_comes_later_names_the_version(rig: Rig, registry: FakeRegistry) -> None:
    add(registry)
    discover(registry, rig.model, START)
    registry.annotate(NAME, 1, {"semantic_version": "2.0.0-rc.1"})
    assert discover(registry, rig.model, START) == []
    row = ModelVersion.objects.get()
    assert (row.version, row.major, row.prerelease, row.note) == ("2.0.0-rc.1", 2, "rc.1", "")


def test_discover_tag_that_changes_leaves_the_version_its_number_and_says_so(
    rig: Rig, registry: FakeRegistry
) -> None:
    add(registry, semantic_version="1.0.0")
    discover(registry, rig.model, START)
    registry.annotate(NAME, 1, {"semantic_version": "9.0.0"})
    discover(registry, rig.model, START)
    row = ModelVersion.objects.get()
    assert (row.version, row.note) == ("1.0.0", "the registry calls this version 9.0.0 now")
    registry.annotate(NAME, 1, {"semantic_version": "1.0.0"})
    discover(registry, rig.model, START)
    row.refresh_from_db()
    assert row.note == ""


def test_discover_aliases_and_other_tags_are_refreshed(rig: Rig, registry: FakeRegistry) -> None:
    add(registry, semantic_version="1.0.0")
    add(registry, semantic_version="1.1.0")
    registry.annotate(NAME, 1, {}, ["champion"])
    discover(registry, rig.model, START)
    registry.annotate(NAME, 2, {"team": "fraud"}, ["champion"])
    discover(registry, rig.model, START)
    first, second = ModelVersion.objects.order_by("registry_version")
    assert (first.aliases, second.aliases) == ([], ["champion"])
    assert second.tags["team"] == "fraud"


def test_discover_version_deleted_in_the_registry_is_kept_with_a_note_until_it_is_back(
    rig: Rig, registry: FakeRegistry
) -> None:
    add(registry, semantic_version="1.0.0")
    discover(registry, rig.model, START)
    version = registry.versions[NAME].pop(1)
    discover(registry, rig.model, START)
    assert ModelVersion.objects.get().note == "no longer in the registry"
    registry.versions[NAME][1] = version
    discover(registry, rig.model, START)
    row = ModelVersion.objects.get()
    assert (row.version, row.note) == ("1.0.0", "")


@dataclass
class PatchyRegistry(FakeRegistry):
    """Fails for some models: name -> what it raises."""

    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        self.asked.append(name)
        if name in self.failing:
            raise self.failing[name]
        return super().list_versions(name)


@pytest.mark.parametrize("error", [Unreachable("timed out"), Refused("not for you"), KeyError("a bug")])
def test_poll_one_failing_model_does_not_stop_the_others(rig: Rig, error: Exception) -> None:
    factories.model(rig.cast.acme, "aardvark")
    registry = PatchyRegistry(failing={"acme-wine": error})
    registry.log("run-1")
    add(registry, "acme-aardvark", semantic_version="1.0.0")
    if isinstance(error, Unreachable):
        with pytest.raises(Unreachable, match="timed out"):
            poll(registry, START)
    else:
        poll(registry, START)
    assert ModelVersion.objects.get().model.name == "aardvark"
    rig.model.refresh_from_db()
    assert rig.model.polled_at is None


def test_poll_registry_that_is_away_is_not_asked_for_every_model(rig: Rig) -> None:
    for name in ("a", "b", "c"):
        factories.model(rig.cast.acme, name)
    registry = PatchyRegistry(
        failing={f"acme-{name}": Unreachable("away") for name in ("wine", "a", "b", "c")}
    )
    with pytest.raises(Unreachable):
        poll(registry, START)
    assert len(registry.asked) == 2
