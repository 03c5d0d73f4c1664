"""What the preflight finds without a cluster, and that the rights it tells are those that are given."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from releases.adapters.connection.kubernetes import needed
from releases.adapters.kubernetes_api import Cluster, ClusterConfig
from releases.adapters.preflight.manifest_checks import problems
from releases.adapters.preflight.model_images import default_image, misfit, mlflow_version
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon_manifests import autoscaler, with_predictor
from releases.domain.autoscaling import Autoscaling
from releases.ports import Deployment

RIGHTS = Path(__file__).resolve().parents[2] / "deploy/rbac.yaml"
MLFLOW_3 = "3.17.0"


def manifests(
    model: str = "wine", version: str = "1.4.0", scaled: Autoscaling | None = None, **place: Any
) -> list[dict[str, Any]]:
    where = SeldonPlace(
        Cluster(ClusterConfig("test", "")), "acme", "acme", "production", "s3://models", "s3-models", **place
    )
    digest = "sha256:" + "ab" * 32
    wanted = Deployment("ref", "acme", "production", model, version, digest, Path(), scaled)
    scaler = autoscaler(wanted, where)
    return [with_predictor(None, wanted, where), *([scaler] if scaler else [])]


def fields(found: list[dict[str, Any]]) -> dict[str, str]:
    return {problem.field: problem.message for problem in problems(found)}


def test_manifests_that_are_right_have_no_problem() -> None:
    assert fields(manifests(scaled=Autoscaling())) == {}


def test_shares_that_do_not_sum_to_100_are_told() -> None:
    found = manifests()
    found[0]["spec"]["predictors"] *= 2
    assert "100 + 100" in fields(found)["spec.predictors[*].traffic"]


@pytest.mark.parametrize(
    ("version", "is_long"), [("1.0.0", False), ("1.0.0-rc.100000", False), ("1.0.0-rc.1000000", True)]
)
def test_longest_name_is_63_characters(version: str, is_long: bool) -> None:
    found = fields(manifests(model="w" * 38, version=version))
    assert ("spec.predictors[0].name" in found) == is_long


def test_model_named_like_a_virtual_service_of_the_portal_is_refused() -> None:
    assert "a model wine. Register it under a name" in fields(manifests(model="portal-wine"))["metadata.name"]
    assert fields(manifests(model="portals")) == {}


def test_model_that_begins_with_a_digit_makes_no_service() -> None:
    assert "begins with a letter" in fields(manifests(model="3d-wine"))["metadata.name"]
    assert fields(manifests(model="wine-3d")) == {}


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mlflow-artifacts:/1/model", "only MLflow itself"),
        ("models:/wine@champion", "only MLflow itself"),
        ("runs:/abc/model", "only MLflow itself"),
        ("ftp://models/wine", "knows no such scheme"),
        ("", "an empty URI"),
    ],
)
def test_uri_that_the_initialiser_cannot_fetch_is_told(uri: str, why: str) -> None:
    found = manifests()
    found[0]["spec"]["predictors"][0]["graph"]["modelUri"] = uri
    assert why in fields(found)["spec.predictors[0].graph.modelUri"]


def test_scaling_by_cpu_needs_a_request_on_every_container() -> None:
    model = "spec.predictors[0].componentSpecs[0].spec.containers[0].resources.requests.cpu"
    bare = {"cpu_request": "", "cpu_limit": ""}
    assert set(fields(manifests(scaled=Autoscaling(), **bare))) == {model}
    assert fields(manifests(scaled=None, **bare)) == {}
    assert fields(manifests(scaled=Autoscaling(cpu_percent=None), **bare)) == {}
    assert fields(manifests(scaled=Autoscaling(), cpu_request="")) == {}  # the limit counts as the request
    found = manifests(scaled=Autoscaling())
    del found[0]["spec"]["predictors"][0]["svcOrchSpec"]
    assert set(fields(found)) == {"spec.predictors[0].svcOrchSpec.resources.requests.cpu"}


@pytest.mark.parametrize(
    ("image", "saved_by", "is_misfit"),
    [
        ("seldonio/mlserver:1.3.5-mlflow", MLFLOW_3, True),
        ("seldonio/mlserver:1.7.1", MLFLOW_3, True),
        ("mirror.test:5000/seldonio/mlserver:1.6.1-mlflow", MLFLOW_3, True),
        ("seldonio/mlserver:1.3.5-mlflow", "2.9.2", False),
        ("seldonio/mlserver:1.8.0-mlflow", MLFLOW_3, False),  # nobody knows yet
        ("registry.test/models:7", MLFLOW_3, False),
        ("seldonio/mlserver:latest", MLFLOW_3, False),
        ("", MLFLOW_3, False),
        ("seldonio/mlserver:1.3.5-mlflow", "", False),
    ],
)
def test_image_that_cannot_load_the_model_is_told(image: str, saved_by: str, is_misfit: bool) -> None:
    said = misfit(image, saved_by, is_default=False)
    assert bool(said) == is_misfit
    if is_misfit:
        assert image in said
        assert "MLflow 3.17.0 or newer" in said


def test_operators_image_is_read_from_its_settings() -> None:
    told = {"MLFLOW_SERVER": {"protocols": {"v2": {"image": "a/b", "defaultImageVersion": "1.3.5-mlflow"}}}}
    assert default_image({"data": {"predictor_servers": json.dumps(told)}}) == "a/b:1.3.5-mlflow"
    for broken in (
        {},
        {"data": None},
        {"data": {"predictor_servers": "no JSON"}},
        {"data": {"predictor_servers": "{}"}},
    ):
        assert default_image(broken) == ""


def test_mlflow_version_is_read_from_the_artifact(tmp_path: Path) -> None:
    assert mlflow_version(tmp_path) == ""
    (tmp_path / "MLmodel").write_text("mlflow_version: 3.17.0\n")
    assert mlflow_version(tmp_path) == MLFLOW_3
    (tmp_path / "MLmodel").write_text("[broken")
    assert mlflow_version(tmp_path) == ""


def test_connection_asks_for_what_the_file_gives_and_nothing_else() -> None:
    place = SeldonPlace(
        Cluster(ClusterConfig("test", "")), "models", "acme", "production", "s3://models", "s3-models"
    )
    where = {"models": "mlops-portal-models", "istio-system": "mlops-portal-gateway"}
    asked = {
        (where[right.namespace], right.kind.api_version.rpartition("/")[0], right.kind.plural, right.verb)
        for right in needed(place)
    }
    given = {
        (role["metadata"]["name"], group, resource, verb)
        for role in yaml.safe_load_all(RIGHTS.read_text())
        if role["kind"] == "ClusterRole" and role["metadata"]["name"] in where.values()
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # These two are found out by asking for the objects themselves.
    given -= {("mlops-portal-models", "", "namespaces", "get"), ("mlops-portal-models", "", "secrets", "get")}
    assert asked == given
