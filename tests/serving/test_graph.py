"""The rendered graph: what Seldon's definition allows, and what cannot be a graph."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from serving.__main__ import main
from tests.cluster import definitions
from tests.serving.test_spec import GOOD, ROUTER

ENSEMBLE = GOOD.partition("  on_failure")[0]
MODELS = "s3://models/{model}/{version}"


def render(tmp_path: Path, text: str, *options: str, models: str = MODELS) -> int:
    """Run the command on a spec; returns its exit code."""
    (tmp_path / "spec.yaml").write_text(text)
    return main(
        ["graph", str(tmp_path / "spec.yaml"), "--image", "registry/models:1", "--models", models, *options]
    )


def rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert render(tmp_path, ENSEMBLE, *options) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_graph_of_an_ensemble_is_a_combiner_over_its_members(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = rendered(tmp_path, capsys, "--name", "tumours-graph", "--secret", "bucket")
    assert made["metadata"]["name"] == "tumours-graph"
    assert (made["spec"]["protocol"], made["spec"]["transport"]) == ("seldon", "rest")
    [predictor] = made["spec"]["predictors"]
    graph = predictor["graph"]
    assert (graph["name"], graph["type"]) == ("combiner", "COMBINER")
    assert "implementation" not in graph  # a prepackaged one would make it a MODEL
    assert {each["name"]: each["value"] for each in graph["parameters"]} == {
        "combine": "mean_of_probabilities",
        "members": "forest,trees",
        "weights": "2,1",
    }
    assert [(child["name"], child["modelUri"]) for child in graph["children"]] == [
        ("forest", "s3://models/tumours-forest/1.0.0"),
        ("trees", "s3://models/tumours-trees/1.1.0"),
    ]
    assert {child["envSecretRefName"] for child in graph["children"]} == {"bucket"}


def test_graph_has_a_container_for_each_node_with_a_port_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [predictor] = rendered(tmp_path, capsys)["spec"]["predictors"]
    containers = predictor["componentSpecs"][0]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["combiner", "forest", "trees"]
    ports = [port["containerPort"] for container in containers for port in container["ports"]]
    assert len(set(ports)) == 6
    assert all(container["resources"]["requests"] for container in containers)


def test_graph_fits_the_definition_of_seldon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.environ.get("SELDON_CRD"):
        pytest.skip("SELDON_CRD is not set")
    made = rendered(tmp_path, capsys, "--secret", "bucket")
    [definition] = [each for each in definitions.seldon() if each["kind"] == "CustomResourceDefinition"]
    [schema] = [
        version["schema"]["openAPIV3Schema"]
        for version in definition["spec"]["versions"]
        if version["name"] == "v1"
    ]
    problems = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(closed(schema)).iter_errors(made)
    ]
    assert problems == []


def closed(schema: Any) -> Any:
    """The schema as a server prunes by it: what it does not name is not there."""
    if not isinstance(schema, dict):
        return [closed(each) for each in schema] if isinstance(schema, list) else schema
    inner = {key: closed(value) for key, value in schema.items()}
    kept = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not kept:
        inner["additionalProperties"] = False
    return inner


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ROUTER, "4:3: core.kind: only an ensemble can be a graph, not a router"),
        (GOOD, "16:3: core.on_failure: a graph has no quorum"),
        (ENSEMBLE + "encryption: {}\n", "16:1: encryption: a graph has no encryption"),
        (ENSEMBLE.replace("forest:", "combiner:"), "8:5: core.members.combiner: this name is the combiner's"),
    ],
)
def test_graph_of_what_cannot_be_one_points_into_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert render(tmp_path, text) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'spec.yaml'}:{said}")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("s3://models/wine", "has to hold {model} or {name}"),
        ("s3://models/{model}/{digest}", "has to hold {model} or {name}"),
        ("s3://models/{model", "expected '}'"),
    ],
)
def test_graph_with_a_bad_address_of_models_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], models: str, said: str
) -> None:
    assert render(tmp_path, ENSEMBLE, models=models) == 2
    assert said in capsys.readouterr().err


def test_graph_with_a_name_that_kubernetes_refuses_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert render(tmp_path, ENSEMBLE, "--name", "Tumours.") == 2
    assert "cannot be the name of a SeldonDeployment" in capsys.readouterr().err
