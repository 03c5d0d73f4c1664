"""Every `ModelRegistry` keeps these promises: the one in memory and the real MLflow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.ports import ModelRegistry, Refused, Unreachable
from tests.fakes_registry import FakeRegistry
from tests.mlflow_server import TrainedWines

# The first test waits for the server to start and the models to be trained.
REAL = [pytest.mark.stack, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Registry:
    """A registry to be tested, and two runs that logged a model under "model"."""

    port: ModelRegistry
    runs: tuple[str, str]
    away: Callable[[], ModelRegistry]


def in_memory(request: pytest.FixtureRequest) -> Registry:
    fake = FakeRegistry()
    for run_id in ("run-1", "run-2"):
        fake.log(run_id, metrics={"accuracy": 0.9})
    return Registry(fake, ("run-1", "run-2"), lambda: FakeRegistry(reachable=False))


def real(request: pytest.FixtureRequest) -> Registry:
    wines: TrainedWines = request.getfixturevalue("wines")
    url: str = request.getfixturevalue("mlflow_server")
    return Registry(
        MLflowRegistry(MLflowConfig(url, page_size=2)),  # so that the tests see several pages
        (wines.logged["baseline"]["run_id"], wines.logged["better"]["run_id"]),
        lambda: MLflowRegistry(MLflowConfig("http://127.0.0.1:9")),
    )


@pytest.fixture(params=[in_memory, pytest.param(real, marks=REAL)])
def registry(request: pytest.FixtureRequest) -> Registry:
    made: Registry = request.param(request)
    return made


@pytest.fixture
def name() -> str:
    return f"wine-{uuid4().hex[:8]}"


def test_list_versions_of_an_unknown_model_is_empty(registry: Registry, name: str) -> None:
    assert registry.port.list_versions(name) == []


def test_register_gives_ascending_numbers_and_keeps_what_was_said(registry: Registry, name: str) -> None:
    first = registry.port.register(
        name, registry.runs[0], "model", {"semantic_version": "1.0.0"}, "the first"
    )
    second = registry.port.register(name, registry.runs[1], "model", {}, "")
    assert (first.name, first.number, second.number) == (name, 1, 2)
    assert (first.run_id, first.description) == (registry.runs[0], "the first")
    assert first.tags["semantic_version"] == "1.0.0"
    assert first.created_at.tzinfo is not None


def test_list_versions_finds_all_of_them_over_several_pages(registry: Registry, name: str) -> None:
    for _ in range(5):
        registry.port.register(name, registry.runs[0], "model", {"team": "red"}, "")
    listed = registry.port.list_versions(name)
    assert sorted(version.number for version in listed) == [1, 2, 3, 4, 5]
    assert {version.tags["team"] for version in listed} == {"red"}
    assert {version.signature for version in listed} == {None}


def test_list_versions_of_one_model_leaves_out_the_others(registry: Registry, name: str) -> None:
    registry.port.register(name, registry.runs[0], "model", {}, "")
    registry.port.register(f"{name}-other", registry.runs[0], "model", {}, "")
    assert [version.name for version in registry.port.list_versions(name)] == [name]


def test_get_version_knows_signature_and_metrics(registry: Registry, name: str) -> None:
    registry.port.register(name, registry.runs[0], "model", {}, "")
    version = registry.port.get_version(name, 1)
    assert version.signature is not None
    columns = {column["name"]: column["type"] for column in version.signature["inputs"]}
    assert columns["alcohol"] == "double"
    assert version.signature["outputs"]
    assert 0 < version.metrics["accuracy"] <= 1


@pytest.mark.parametrize("number", [2, 999_999])
def test_get_version_of_an_unknown_number_is_refused(registry: Registry, name: str, number: int) -> None:
    registry.port.register(name, registry.runs[0], "model", {}, "")
    with pytest.raises(Refused):
        registry.port.get_version(name, number)


def test_register_without_such_a_model_in_the_run_is_refused_and_leaves_nothing(
    registry: Registry, name: str
) -> None:
    with pytest.raises(Refused):
        registry.port.register(name, registry.runs[0], "no-such-path", {}, "")
    with pytest.raises(Refused):
        registry.port.register(name, "0" * 32, "model", {}, "")
    assert registry.port.list_versions(name) == []


def test_register_at_the_same_time_gives_each_its_own_number(registry: Registry, name: str) -> None:
    def register(index: int) -> int:
        return registry.port.register(name, registry.runs[index % 2], "model", {}, "").number

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(register, range(8)))
    assert sorted(numbers) == list(range(1, 9))


def test_annotate_adds_tags_and_moves_the_alias_and_may_be_repeated(registry: Registry, name: str) -> None:
    for run_id in registry.runs:
        registry.port.register(name, run_id, "model", {"kept": "yes"}, "")
    registry.port.annotate(name, 1, {"a": "1"}, ["champion"])
    for _ in range(2):
        registry.port.annotate(name, 2, {"a": "2", "b": "3"}, ["champion"])
    versions = {version.number: version for version in registry.port.list_versions(name)}
    assert versions[1].aliases == ()
    assert versions[2].aliases == ("champion",)
    assert dict(versions[2].tags) == {"kept": "yes", "a": "2", "b": "3"}
    assert registry.port.get_version(name, 2).aliases == ("champion",)


def test_annotate_of_an_unknown_version_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(Refused):
        registry.port.annotate(name, 7, {"a": "1"})


def test_download_writes_the_model_files(registry: Registry, name: str, tmp_path: Path) -> None:
    registry.port.register(name, registry.runs[0], "model", {}, "")
    registry.port.download(name, 1, tmp_path)
    assert registry.runs[0] in (tmp_path / "MLmodel").read_text()


def test_download_of_an_unknown_version_is_refused(registry: Registry, name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        registry.port.download(name, 1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_call_says_unreachable_when_the_registry_is_away(
    registry: Registry, name: str, tmp_path: Path
) -> None:
    away = registry.away()
    for call in (
        lambda: away.list_versions(name),
        lambda: away.get_version(name, 1),
        lambda: away.register(name, registry.runs[0], "model", {}, ""),
        lambda: away.annotate(name, 1, {"a": "1"}),
        lambda: away.download(name, 1, tmp_path),
    ):
        with pytest.raises(Unreachable):
            call()
