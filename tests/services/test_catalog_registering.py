"""Registering versions: the next number, never twice."""

import threading
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from django.db import connection

from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.domain.errors import Invalid, NotFound
from releases.domain.version import Change
from releases.models import ModelVersion
from releases.ports import Refused, RegisteredVersion, Unreachable
from releases.services.catalog import discover, register_version
from tenants.access import Actor, NotAllowed
from tenants.models import AuditEvent
from tests import factories
from tests.fakes_registry import SIGNATURE, FakeRegistry
from tests.services.rig import START, Rig


def register(actor: Actor, registry: FakeRegistry, change: Change = Change.PATCH) -> ModelVersion:
    registry.log("run-7", metrics={"accuracy": 0.94})
    return register_version(
        actor,
        registry,
        model="wine",
        run_id="run-7",
        artifact_path="model",
        change=change,
        description="retrained",
        at=START,
    )


def tagged(registry: FakeRegistry, *versions: str) -> None:
    """Somebody else registers versions, in this order."""
    registry.log("other")
    for version in versions:
        registry.register("acme-wine", "other", "model", {"semantic_version": version}, "")


@pytest.mark.parametrize("change", Change)
def test_register_first_version_is_1_0_0_whatever_changed(rig: Rig, change: Change) -> None:
    version = register(rig.ada, rig.world.registry, change)
    assert (version.version, version.registry_version) == ("1.0.0", 1)
    assert version.signature == SIGNATURE
    assert version.metrics == {"accuracy": 0.94}
    assert (version.run_id, version.description) == ("run-7", "retrained")
    assert rig.world.registry.get_version("acme-wine", 1).tags == {"semantic_version": "1.0.0"}


def test_register_bumps_the_highest_version_not_the_first_or_last_listed(rig: Rig) -> None:
    tagged(rig.world.registry, "1.9.0", "1.10.0", "1.2.0", "nonsense")
    assert register(rig.ada, rig.world.registry, Change.MINOR).version == "1.11.0"
    assert register(rig.ada, rig.world.registry, Change.PATCH).version == "1.11.1"
    assert register(rig.ada, rig.world.registry, Change.MAJOR).version == "2.0.0"


def test_register_counts_versions_that_left_the_registry(rig: Rig) -> None:
    """A number that was once released must not come back with another artifact."""
    factories.version(rig.model, "3.1.4", registry_version=77)
    assert register(rig.ada, rig.world.registry).version == "3.1.5"


def test_register_is_audited_with_who_and_what(rig: Rig) -> None:
    register(rig.ada, rig.world.registry, Change.MAJOR)
    event = AuditEvent.objects.get(action="version.registered")
    assert (event.actor, event.subject) == ("ada", "wine 1.0.0")
    assert event.detail == {"run_id": "run-7", "registry_version": 1, "change": "major"}


def test_register_needs_the_capability_and_a_model_of_the_own_tenant(rig: Rig) -> None:
    with pytest.raises(NotAllowed):
        register(rig.ben, rig.world.registry)
    with pytest.raises(NotFound):
        register(rig.cast.actor(rig.cast.mallory), rig.world.registry)
    assert not rig.world.registry.versions


def test_register_of_an_unknown_run_leaves_nothing_behind(rig: Rig) -> None:
    with pytest.raises(Refused, match="run nowhere has no model"):
        register_version(
            rig.ada,
            rig.world.registry,
            model="wine",
            run_id="nowhere",
            artifact_path="model",
            change=Change.PATCH,
            description="",
            at=START,
        )
    assert not ModelVersion.objects.exists()
    assert not AuditEvent.objects.filter(action="version.registered").exists()


def test_register_while_the_registry_is_away_is_told_to_the_caller(rig: Rig) -> None:
    rig.world.registry.reachable = False
    with pytest.raises(Unreachable):
        register(rig.ada, rig.world.registry)


def test_register_beyond_the_largest_number_is_refused_before_anything_is_registered(rig: Rig) -> None:
    tagged(rig.world.registry, "1.2147483647.0")
    with pytest.raises(Invalid, match="too large"):
        register(rig.ada, rig.world.registry, Change.MINOR)
    assert len(rig.world.registry.versions["acme-wine"]) == 1


@dataclass
class BusyRegistry(FakeRegistry):
    """Another portal registers the same number a moment before us, as often as `rivals` says."""

    rivals: int = 0

    def register(self, name: str, run_id: str, *rest: object) -> RegisteredVersion:
        if run_id == "run-7" and self.rivals:
            self.rivals -= 1
            super().register(name, "other", *rest)  # type: ignore[arg-type]
        return super().register(name, run_id, *rest)  # type: ignore[arg-type]

    def annotate(self, name: str, number: int, tags: dict[str, str], aliases: tuple[str, ...] = ()) -> None:  # type: ignore[override]
        super().annotate(name, number, tags, aliases)


def test_register_at_the_same_moment_as_another_portal_takes_the_next_number(rig: Rig) -> None:
    registry = BusyRegistry(rivals=1)
    registry.log("other")
    version = register(rig.ada, registry, Change.MINOR)
    assert (version.version, version.registry_version) == ("1.1.0", 2)
    tags = {n: v.tags["semantic_version"] for n, v in registry.versions["acme-wine"].items()}
    assert tags == {1: "1.0.0", 2: "1.1.0"}


def test_register_that_was_lost_after_the_registry_accepted_is_discovered_by_its_tag(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("the worker dies here")

    with monkeypatch.context() as patch:
        patch.setattr("releases.services.catalog.registering.audit.record", lost)
        with pytest.raises(ConnectionError):
            register(rig.ada, rig.world.registry)
    assert not ModelVersion.objects.exists()
    (found,) = discover(rig.world.registry, rig.model, START)
    assert (found.version, found.run_id, found.metrics) == ("1.0.0", "run-7", {"accuracy": 0.94})


def logged_run(url: str) -> str:
    """A run in MLflow with the least that passes for a model."""
    with httpx.Client(base_url=f"{url}/api/2.0", timeout=60) as client:
        begun = {"experiment_id": "0", "start_time": 1_700_000_000_000}
        created = client.post("/mlflow/runs/create", json=begun).raise_for_status().json()
        run_id: str = created["run"]["info"]["run_id"]
        place = f"/mlflow-artifacts/artifacts/0/{run_id}/artifacts/model/MLmodel"
        client.put(place, content=b"flavors: {}\n").raise_for_status()
    return run_id


@pytest.mark.stack
@pytest.mark.django_db(transaction=True)
def test_register_by_eight_threads_at_once_in_a_real_mlflow_gives_eight_numbers(mlflow_server: str) -> None:
    cast = factories.cast()
    model = factories.model(cast.acme, registry_name=f"threads-{uuid4().hex[:8]}")
    ada = cast.actor(cast.ada)
    run_id = logged_run(mlflow_server)
    start = threading.Barrier(8)
    versions: list[str | None] = []
    errors: list[BaseException] = []

    def work(change: Change) -> None:
        registry = MLflowRegistry(MLflowConfig(mlflow_server, timeout=60))
        try:
            start.wait(30)
            registered = register_version(
                ada,
                registry,
                model="wine",
                run_id=run_id,
                artifact_path="model",
                change=change,
                description="",
                at=START,
            )
            versions.append(registered.version)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    changes = [Change.PATCH, Change.MINOR, Change.MAJOR, Change.MINOR] * 2
    threads = [threading.Thread(target=work, args=(change,)) for change in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert errors == []
    assert len(set(versions)) == 8
    listed = MLflowRegistry(MLflowConfig(mlflow_server)).list_versions(model.registry_name)
    assert sorted(version.tags["semantic_version"] for version in listed) == sorted(map(str, versions))
    assert discover(MLflowRegistry(MLflowConfig(mlflow_server)), model, START) == []
