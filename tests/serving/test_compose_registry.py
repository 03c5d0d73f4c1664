"""`python -m serving compose` on a real MLflow, registering through the portal's own API."""

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.api import catalog
from releases.models import ModelVersion
from releases.services import artifacts
from serving.__main__ import main
from tenants.roles import Role
from tests import factories
from tests.serving import composed
from tests.serving.composed import FAST, LABELS, ROWS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@dataclass
class Registry:
    """A real MLflow server with members in it, named by this test run."""

    client: MlflowClient
    prefix: str

    def member(self, name: str, version: str | None, **kwargs: Any) -> str:
        """Log and register a classifier; returns MLflow's number of the version."""
        model = LogisticRegression(**kwargs).fit(ROWS, LABELS)
        with mlflow.start_run():
            logged = mlflow.sklearn.log_model(
                model,
                name="model",
                pyfunc_predict_fn="predict_proba",
                signature=infer_signature(ROWS, model.predict_proba(ROWS)),
                input_example=ROWS.head(2),
                pip_requirements=FAST,
            )
        registered = mlflow.register_model(logged.model_uri, self.prefix + name)
        if version is not None:
            self.client.set_model_version_tag(
                registered.name, registered.version, "semantic_version", version
            )
        return str(registered.version)

    def core(self, members: Mapping[str, str], **others: Any) -> dict[str, Any]:
        """An ensemble's core of members by name, each with the version it wants."""
        wanted = {
            name: {"model": self.prefix + name, "version": version} for name, version in members.items()
        }
        return {"kind": "ensemble", "combine": "mean_of_probabilities", "members": wanted} | others


@pytest.fixture(scope="module")
def registry(mlflow_server: str) -> Iterator[Registry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(mlflow_server)
        mlflow.set_experiment("composing")
        registry = Registry(MlflowClient(mlflow_server), f"{uuid.uuid4().hex[:8]}-")
        registry.member("forest", None)
        registry.member("forest", "1.0.0")
        registry.member("forest", "1.1.0", C=0.5)
        registry.member("trees", "2.0.0", C=0.01)
        yield registry
        mlflow.set_tracking_uri(before)


@pytest.fixture
def compose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command on a core; the exit code, what it printed, and what it said on standard error."""

    def run(core: Mapping[str, Any], *options: str, model: str = "both") -> tuple[int, str, str]:
        composed.write_spec(tmp_path / "spec.yaml", core, model=model)
        capsys.readouterr()
        code = main(["compose", str(tmp_path / "spec.yaml"), *options])
        printed = capsys.readouterr()
        return code, printed.out, printed.err.replace(f"{tmp_path}/", "")

    return run


def test_compose_pins_the_versions_it_was_told(
    registry: Registry, compose: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, printed, said = compose(registry.core({"forest": "1.0.0", "trees": "2.0.0"}), "--log-only")
    assert code == 0, said
    done = json.loads(printed)
    assert done == {"run_id": done["run_id"], "model": "both", "artifact_path": "model"}

    registry.member("forest", "9.0.0", C=99.0)  # what comes later has no part in it
    model = mlflow.pyfunc.load_model(f"runs:/{done['run_id']}/model")
    members = [
        mlflow.pyfunc.load_model(f"models:/{registry.prefix}{name}/{number}").predict(ROWS)
        for name, number in (("forest", 2), ("trees", 1))
    ]
    assert model.predict(ROWS) == pytest.approx(np.mean(members, axis=0), abs=1e-12)

    [forest, _] = model.metadata.metadata["composition"]["core"]["members"]
    assert (forest["version"], forest["registry_version"], forest["weight"]) == ("1.0.0", 2, 0.5)
    uri = registry.client.get_model_version_download_uri(registry.prefix + "forest", "2")
    got = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(tmp_path / "forest"))
    assert forest["digest"] == artifacts.digest(Path(got))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            {"forest": "1.2.0", "trees": "2.0.0"},
            "spec.yaml:9:7: core.members.forest.version: PREFIX-forest has no version 1.2.0 in the registry",
        ),
        (
            {"forest": "1.0.0", "oak": "2.0.0"},
            "spec.yaml:11:7: core.members.oak.model: the registry has no model named 'PREFIX-oak'",
        ),
    ],
)
def test_compose_of_a_member_that_is_not_there_points_into_the_spec(
    registry: Registry, compose: Callable[..., tuple[int, str, str]], members: Mapping[str, str], said: str
) -> None:
    code, printed, told = compose(registry.core(members), "--log-only")
    assert (code, printed) == (2, "")
    assert told.startswith(said.replace("PREFIX-", registry.prefix)), told


def test_compose_of_a_version_that_was_deleted_points_into_the_spec(
    registry: Registry, compose: Callable[..., tuple[int, str, str]]
) -> None:
    number = registry.member("gone", "1.0.0")
    registry.client.delete_model_version(registry.prefix + "gone", number)
    code, _, told = compose(registry.core({"forest": "1.0.0", "gone": "1.0.0"}), "--log-only")
    assert code == 2
    name = f"{registry.prefix}gone"
    assert told == (
        f"spec.yaml:12:7: core.members.gone.version: {name} has no version 1.0.0 in the registry; "
        "it has no semantic version at all\n"
    )


def test_compose_of_a_version_that_two_claim_is_refused(
    registry: Registry, compose: Callable[..., tuple[int, str, str]]
) -> None:
    numbers = [registry.member("twice", "1.0.0") for _ in range(2)]
    code, _, told = compose(registry.core({"forest": "1.0.0", "twice": "1.0.0"}), "--log-only")
    assert code == 2
    assert "is not one version: " in told
    assert all(number in told for number in numbers)


def test_compose_without_a_registry_says_so(
    compose: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, _, told = compose(composed.core("single", {"one": None}), "--log-only")
    assert (code, told) == (2, "MLFLOW_TRACKING_URI has to say where MLflow is\n")


def test_compose_with_a_registry_that_is_away_ends_with_3(
    compose: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        code, _, told = compose(composed.core("single", {"one": None}), "--log-only")
    finally:
        mlflow.set_tracking_uri(before)
    assert code == 3
    assert told.startswith("MLflow could not look for m-one 1.0.0: ")


def test_compose_without_a_portal_wants_log_only(
    registry: Registry, compose: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PORTAL_URL", "PORTAL_TOKEN", "PORTAL_TENANT"):
        monkeypatch.delenv(name, raising=False)
    code, _, told = compose(registry.core({"forest": "1.0.0", "trees": "2.0.0"}))
    assert (code, told) == (
        2,
        "PORTAL_URL, PORTAL_TOKEN and PORTAL_TENANT have to be set, or --log-only said\n",
    )


@pytest.fixture
def portal(
    registry: Registry,
    mlflow_server: str,
    transactional_db: None,
    live_server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> factories.Cast:
    """The portal over HTTP, on the same MLflow; CI's token is in the environment."""
    ports = SimpleNamespace(registry=MLflowRegistry(MLflowConfig(mlflow_server)))
    monkeypatch.setattr(catalog.factory, "ports", lambda kind: ports)
    cast = factories.cast()
    _, token = factories.token(cast.acme, Role.REQUESTER)
    monkeypatch.setenv("PORTAL_URL", live_server.url)
    monkeypatch.setenv("PORTAL_TOKEN", token)
    monkeypatch.setenv("PORTAL_TENANT", "acme")
    return cast


def test_compose_registers_through_the_portal_and_bumps(
    portal: factories.Cast, registry: Registry, compose: Callable[..., tuple[int, str, str]]
) -> None:
    name = f"{registry.prefix}both"
    core = registry.core({"forest": "1.0.0", "trees": "2.0.0"})
    code, printed, said = compose(core, model=name)
    assert code == 0, said
    first = json.loads(printed)
    assert first["version"] == "1.0.0"
    newer = registry.core({"forest": "1.1.0", "trees": "2.0.0"})
    assert json.loads(compose(newer, model=name)[1])["version"] == "1.1.0"

    row = ModelVersion.objects.get(model__name=name, version="1.0.0")
    assert row.run_id == first["run_id"]
    tags = registry.client.get_model_version(name, "1").tags
    assert tags["semantic_version"] == "1.0.0"


def test_compose_with_a_token_that_is_refused_ends_with_3(
    portal: factories.Cast,
    registry: Registry,
    compose: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_TOKEN", "nonsense")
    code, _, told = compose(registry.core({"forest": "1.0.0", "trees": "2.0.0"}))
    assert code == 3
    assert told.splitlines()[-1].startswith("the portal answered 401: ")
    assert re.search(r"the model is logged, not registered: run [0-9a-f]{32}\n$", told)
    assert os.environ["PORTAL_TOKEN"] not in told
