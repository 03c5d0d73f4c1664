"""Composed models of the sample members under a real MLServer: an ensemble of three kinds, and a router."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.conf import settings
from sklearn.datasets import load_breast_cancer

from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.services.pickle_scan import scan
from serving.cores import TIER
from tests.serving import composed
from tests.serving.model_server import ModelServer, serving_models

# The first test waits for MLflow, the training and the model server.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
KINDS = ("forest", "trees", "network")
SPECS = [settings.BASE_DIR / f"pipelines/specs/tumours-{name}.yaml" for name in ("ensemble", "router")]
# The command line for each spec, in one process: importing MLflow takes seconds.
BOTH = """
import sys
from serving.__main__ import main
sys.exit(max(main(["compose", spec, "--log-only"]) for spec in sys.argv[1:]))
"""
# A member that fails on command: when `a` is negative.
FAILING = (
    "if (model_input['a'] < 0).any(): raise ArithmeticError('a is negative')\nreturn [5.0] * len(model_input)"
)


@dataclass(frozen=True)
class Composed:
    """What was trained and composed: the training's lines by kind, and the models on disk."""

    lines: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Path]


def in_models_environment(mlflow_server: str, *command: str | Path) -> list[Any]:
    """The JSON lines that a command prints in the models' environment."""
    ran = subprocess.run(
        [settings.MODELS_PYTHON / "python", *command],
        cwd=settings.BASE_DIR,
        env=os.environ | {"MLFLOW_TRACKING_URI": mlflow_server},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def tumours(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Composed:
    """The sample members, registered, and an ensemble and a router of them, as CI would compose them."""
    folder = tmp_path_factory.mktemp("tumours")
    trained = in_models_environment(mlflow_server, "-m", "pipelines.members", "--all")
    lines = {line["kind"]: line for line in trained}
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    for kind in KINDS:
        tags = {"semantic_version": "1.0.0"}
        registry.register(f"tumours-{kind}", lines[kind]["run_id"], "model", tags, "")
    models = {}
    for done in in_models_environment(mlflow_server, "-c", BOTH, *SPECS):
        name = "ensemble" if done["model"] == "tumours" else "router"
        registered = registry.register(done["model"], done["run_id"], done["artifact_path"], {}, "")
        models[name] = folder / name
        models[name].mkdir()
        registry.download(registered.name, registered.number, models[name])
    return Composed(lines, models)


@pytest.fixture(scope="module")
def quorum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two, of which one may fail."""
    folder = tmp_path_factory.mktemp("quorum") / "work"
    (folder / "members").mkdir(parents=True)
    composed.save_constant(folder / "members" / "steady", 1.0)
    composed.save_coded(folder / "members" / "moody", FAILING)
    core = composed.core(
        "ensemble",
        {"steady": 1, "moody": 1},
        combine="mean",
        on_failure={"policy": "quorum", "at_least": 1},
    )
    asked = composed.write_spec(folder.parent / "spec.yaml", core)
    return composed.saved(composed.assembled(folder, asked), folder.parent)


@pytest.fixture(scope="module")
def server(
    tumours: Composed, quorum: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ModelServer]:
    with serving_models(tmp_path_factory.mktemp("mlserver"), {**tumours.models, "quorum": quorum}) as running:
        yield running


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    frame, _ = load_breast_cancer(return_X_y=True, as_frame=True)
    return frame.rename(columns=lambda name: name.replace(" ", "_"))


def probabilities(server: ModelServer, model: str, frame: pd.DataFrame, **parameters: Any) -> np.ndarray:
    answer = server.infer(model, frame, **parameters)
    assert answer.status_code == 200, answer.text
    [output] = answer.json()["outputs"]
    assert output["datatype"] == "FP64"
    return np.array(output["data"]).reshape(output["shape"])


def test_members_and_their_ensemble_are_better_than_nineteen_of_twenty(tumours: Composed) -> None:
    accuracy = {kind: line["metrics"]["accuracy"] for kind, line in tumours.lines.items()}
    assert set(accuracy) == {*KINDS, "ensemble"}
    assert min(accuracy.values()) > 0.95
    assert accuracy["ensemble"] >= sorted(accuracy[kind] for kind in KINDS)[1]


def test_composed_models_hold_no_dangerous_pickle(tumours: Composed) -> None:
    for model in tumours.models.values():
        assert scan(model).dangerous == ()


def test_composed_model_passes_the_portals_inspection(tumours: Composed) -> None:
    probe = SubprocessProbe(SubprocessProbeConfig(settings.MODELS_PYTHON / "python", settings.BASE_DIR))
    report = probe.inspect(tumours.models["ensemble"], 120, 4096)
    assert report.failure is None
    assert [(output["datatype"], output["shape"]) for output in report.outputs] == [("FP64", [2, 2])]


def test_ensemble_answers_the_mean_of_what_its_members_answer(
    server: ModelServer, rows: pd.DataFrame
) -> None:
    """The router shows what each member answers alone."""
    frame = rows.head(5)
    alone = [
        probabilities(server, "router", frame, **{TIER: tier}) for tier in ("premium", "standard", "other")
    ]
    assert not np.allclose(alone[0], alone[1])
    together = probabilities(server, "ensemble", frame)
    assert together == pytest.approx(np.mean(alone, axis=0), abs=1e-6)


def test_router_answers_by_the_parameter_of_the_request_and_by_rows(
    server: ModelServer, rows: pd.DataFrame
) -> None:
    many = pd.concat([rows.head(100)])
    few = rows.head(99)
    by_tier = {
        tier: probabilities(server, "router", many, **{TIER: tier})
        for tier in ("premium", "standard", "basic")
    }
    assert not np.allclose(by_tier["premium"], by_tier["basic"])
    assert not np.allclose(by_tier["standard"], by_tier["basic"])
    assert np.array_equal(probabilities(server, "router", many), by_tier["basic"])
    assert np.array_equal(probabilities(server, "router", few), by_tier["premium"][:99])
    assert np.array_equal(probabilities(server, "router", few, **{TIER: "nobody"}), by_tier["basic"][:99])


def test_empty_request_is_answered_with_400_in_words(server: ModelServer, rows: pd.DataFrame) -> None:
    answer = server.infer("ensemble", rows.head(0))
    assert answer.status_code == 400
    assert answer.json()["error"] == "the request has no rows: there is nothing to predict"


def test_quorum_answers_while_a_member_fails_and_counts_it(server: ModelServer) -> None:
    good, bad = composed.ROWS.head(2), composed.ROWS.head(2) - 1
    answer = server.infer("quorum", good)
    assert answer.json()["outputs"][0]["data"] == [3.0, 3.0]
    assert server.metric("model_member_failures_total", member="moody") == 0
    answer = server.infer("quorum", bad)
    assert answer.json()["outputs"][0]["data"] == [1.0, 1.0]
    assert server.metric("model_member_failures_total", member="moody") == 1
    assert server.metric("model_member_failures_total", member="steady") == 0


def test_predictions_of_a_composed_model_are_counted(server: ModelServer, rows: pd.DataFrame) -> None:
    before = server.metric("model_predictions_total", value="argmax:0") or 0
    malignant = rows.head(1)
    assert probabilities(server, "ensemble", malignant).argmax() == 0
    assert server.metric("model_predictions_total", value="argmax:0") == before + 1
