"""The preflight against a real API server: what it shows, what it finds, and that it changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import CONFIG_MAP, SECRET, Cluster, ClusterConfig, Manifest
from releases.adapters.preflight.seldon import SeldonPreflight
from releases.adapters.seldon_place import Plan, SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.autoscaling import Autoscaling
from releases.ports import Deployment, Preview, Unreachable
from tests.cluster import rights
from tests.cluster.api import AUTOSCALER, QUOTA, SELDON_DEPLOYMENT, VIRTUAL_SERVICE, until
from tests.cluster.conftest import TENANT, TestCluster

SECRET_NAME = "mlops-portal-artifacts"
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def place(cluster: TestCluster, namespace: str) -> SeldonPlace:
    """As deploy/rbac.yaml wants it, with the secret that pods need."""
    rights.grant(cluster.api, [namespace])
    cluster.api.create(SECRET, {"metadata": {"name": SECRET_NAME}}, namespace)
    config = ClusterConfig("test", str(cluster.portal))
    return SeldonPlace(Cluster(config), namespace, TENANT, "production", "s3://models", SECRET_NAME)


def deployment(number: str, artifact: Path = Path("nowhere"), **changes: object) -> Deployment:
    name = number.replace(".", "-")
    made = Deployment(f"wine-{name}", TENANT, "production", "wine", number, DIGEST, artifact)
    return replace(made, **changes)  # type: ignore[arg-type]


def look(place: SeldonPlace, wanted: Deployment) -> Preview:
    return SeldonPreflight(place, SeldonTarget(place).plan).preview(wanted)


def fields(found: Preview) -> dict[str, str]:
    return {problem.field: problem.message for problem in found.problems}


def test_first_version_is_shown_whole_and_nothing_is_made(cluster: TestCluster, place: SeldonPlace) -> None:
    found = look(place, deployment("1.4.0", autoscaling=Autoscaling()))
    assert found.problems == ()
    assert found.before == ""
    shown = list(yaml.safe_load_all(found.after))
    assert [one["kind"] for one in shown] == ["SeldonDeployment", "HorizontalPodAutoscaler"]
    assert shown[0]["spec"]["predictors"][0]["traffic"] == 100
    assert cluster.api.list(SELDON_DEPLOYMENT, place.namespace) == []
    assert cluster.api.list(AUTOSCALER, place.namespace) == []


def test_what_is_shown_is_what_is_there_afterwards(place: SeldonPlace) -> None:
    target = SeldonTarget(place)
    scaled = deployment("1.4.0", autoscaling=Autoscaling())
    promised = look(place, scaled).after
    target.ensure(scaled)
    found = look(place, scaled)
    assert found.before == promised
    assert found.after == found.before
    assert "resourceVersion" not in found.before
    assert "managedFields" not in found.before


def test_next_version_differs_by_its_own_objects_alone(place: SeldonPlace) -> None:
    target = SeldonTarget(place)
    target.ensure(deployment("1.3.2"))
    found = look(place, deployment("1.4.0", autoscaling=Autoscaling()))
    before, (after, scaler) = yaml.safe_load(found.before), yaml.safe_load_all(found.after)
    assert after["spec"]["predictors"][0] == before["spec"]["predictors"][0]
    assert [one["name"] for one in after["spec"]["predictors"]] == ["v1-3-2", "v1-4-0"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == "wine-v1-4-0-0-model"
    assert found.problems == ()


def test_another_writer_in_the_middle_of_the_look_is_no_problem_of_the_version(
    cluster: TestCluster, place: SeldonPlace
) -> None:
    target = SeldonTarget(place)
    target.ensure(deployment("1.3.2"))

    def planned_and_overtaken(wanted: Deployment) -> Plan:
        plan = target.plan(wanted)
        cluster.api.edit(
            SELDON_DEPLOYMENT,
            "wine",
            place.namespace,
            lambda found: found["metadata"]["labels"].update(somebody="else"),
        )
        return plan

    assert SeldonPreflight(place, planned_and_overtaken).preview(deployment("1.4.0")).problems == ()


def test_webhook_refusal_names_the_field(cluster: TestCluster, place: SeldonPlace) -> None:
    """A shadow that somebody put there by hand hides from the webhook that the shares are wrong."""
    SeldonTarget(place).ensure(deployment("1.3.2"))

    def add(found: Manifest) -> None:
        first = found["spec"]["predictors"][0]
        by_hand = {**first, "name": "by-hand", "shadow": True, "labels": {}, "annotations": {}}
        found["spec"]["predictors"] = [{**first, "traffic": 50}, by_hand]

    cluster.api.edit(SELDON_DEPLOYMENT, "wine", place.namespace, add)
    said = fields(look(place, deployment("1.4.0")))
    assert "Traffic must sum to 100" in said["spec"]
    assert "50 + 0, which is not 100" in said["spec.predictors[*].traffic"]


def test_schema_refusal_names_the_field(place: SeldonPlace) -> None:
    said = fields(look(replace(place, memory_request="a lot"), deployment("1.4.0")))
    assert any(field.endswith("resources.requests.memory") for field in said), said


def test_quota_refusal_is_told(cluster: TestCluster, place: SeldonPlace) -> None:
    hard = {"count/horizontalpodautoscalers.autoscaling": "0"}
    cluster.api.create(QUOTA, {"metadata": {"name": "none"}, "spec": {"hard": hard}}, place.namespace)
    until(
        lambda: (cluster.api.get(QUOTA, "none", place.namespace) or {}).get("status", {}).get("used"),
        "the quota is counted",
    )
    said = fields(look(place, deployment("1.4.0", autoscaling=Autoscaling())))
    assert "does not take the HorizontalPodAutoscaler" in said["metadata.name"]
    assert "exceeded quota: none" in said["metadata.name"]


def test_virtual_service_of_somebody_else_in_the_way_is_told(
    cluster: TestCluster, place: SeldonPlace
) -> None:
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "portal-wine"},
        "spec": {"hosts": ["wine.example"]},
    }
    cluster.api.create(VIRTUAL_SERVICE, body, place.namespace)
    assert "is not the portal's" in fields(look(place, deployment("1.4.0")))["metadata.name"]


def test_missing_secret_names_the_field(cluster: TestCluster, place: SeldonPlace) -> None:
    cluster.api.delete(SECRET, SECRET_NAME, place.namespace)
    said = fields(look(place, deployment("1.4.0")))
    assert "has no secret mlops-portal-artifacts" in said["spec.predictors[0].graph.envSecretRefName"]


def test_missing_secret_of_the_model_servers_names_the_field(
    cluster: TestCluster, place: SeldonPlace
) -> None:
    with_secret, name = replace(place, models_secret="mlops-portal-models"), "mlops-portal-models"
    field = "spec.predictors[0].componentSpecs[0].spec.containers[name=model].envFrom"
    assert f"has no secret {name}" in fields(look(with_secret, deployment("1.4.0")))[field]
    cluster.api.create(SECRET, {"metadata": {"name": name}}, place.namespace)
    assert look(with_secret, deployment("1.4.0")).problems == ()


def test_secret_that_the_portal_may_not_look_at_is_no_problem(place: SeldonPlace) -> None:
    assert look(replace(place, artifacts_secret="another"), deployment("1.4.0")).problems == ()


@pytest.mark.parametrize("saved_by", ["3.17.0", "2.20.4"])
def test_operators_image_is_held_against_the_models_mlflow(
    cluster: TestCluster, place: SeldonPlace, tmp_path: Path, saved_by: str
) -> None:
    (tmp_path / "MLmodel").write_text(f"mlflow_version: {saved_by}\n")
    servers = (
        '{"MLFLOW_SERVER": {"protocols": {"v2": '
        '{"image": "seldonio/mlserver", "defaultImageVersion": "1.3.5-mlflow"}}}}'
    )
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "seldon-config", "namespace": "seldon-system"},
        "data": {"predictor_servers": servers},
    }
    cluster.api.apply(CONFIG_MAP, body, "tests")
    try:
        found = look(place, deployment("1.4.0", tmp_path))
    finally:
        cluster.api.delete(CONFIG_MAP, "seldon-config", "seldon-system")
    said = [problem.message for problem in found.problems]
    assert (saved_by == "3.17.0") == any(
        "seldonio/mlserver:1.3.5-mlflow, holds MLflow 2" in one for one in said
    )


def test_names_that_are_too_long_name_the_field(place: SeldonPlace) -> None:
    long = deployment("1.4.0-rc.20261124.nightly", model="the-model-that-tells-good-wine-from-bad")
    said = fields(look(place, long))
    assert "has 74 characters" in said["spec.predictors[0].name"]


def test_namespace_of_another_tenant_is_told_and_not_shown(cluster: TestCluster, place: SeldonPlace) -> None:
    with cluster.namespace("globex") as namespace:
        rights.grant(cluster.api, [namespace])
        found = look(replace(place, namespace=namespace), deployment("1.4.0"))
    assert (found.before, found.after) == ("", "")
    assert "mlops-portal.io/tenant=globex" in fields(found)["metadata.namespace"]


def test_namespace_that_is_missing_is_told(place: SeldonPlace) -> None:
    said = fields(look(replace(place, namespace="nowhere"), deployment("1.4.0")))
    assert said["metadata.namespace"].startswith("the namespace nowhere is not open to the portal")


def test_seldon_deployment_of_somebody_else_is_told(cluster: TestCluster, place: SeldonPlace) -> None:
    graph = {"name": "model", "implementation": "SKLEARN_SERVER", "modelUri": "gs://x"}
    body = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "wine"},
        "spec": {"protocol": "v2", "predictors": [{"name": "default", "graph": graph}]},
    }
    cluster.api.create(SELDON_DEPLOYMENT, body, place.namespace)
    assert "is not the portal's" in fields(look(place, deployment("1.4.0")))["metadata.name"]


def test_version_whose_name_is_taken_names_the_field(place: SeldonPlace) -> None:
    SeldonTarget(place).ensure(deployment("1.4.0"))
    other = deployment("1.4.0", ref="another", digest="sha256:" + "cd" * 32)
    found = look(place, other)
    assert "a version that is deployed never changes" in fields(found)["spec.predictors[*].name"]
    assert found.before
    assert found.after == ""


def test_artifacts_where_pods_cannot_fetch_are_told(place: SeldonPlace) -> None:
    found = look(replace(place, artifacts="mlflow-artifacts:/1/models"), deployment("1.4.0"))
    assert [one.field for one in found.problems] == ["spec.predictors[*].graph.modelUri"]
    assert "expected s3://bucket/prefix" in found.problems[0].message


def test_cluster_that_does_not_answer_is_unreachable(cluster: TestCluster, place: SeldonPlace) -> None:
    nobody = Cluster(ClusterConfig("gone", str(cluster.portal), seconds=0.0001))
    with pytest.raises(Unreachable, match="gone does not answer"):
        look(replace(place, cluster=nobody), deployment("1.4.0"))


def test_foreign_predictor_stays_where_it_is(cluster: TestCluster, place: SeldonPlace) -> None:
    SeldonTarget(place).ensure(deployment("1.3.2"))

    def add(found: Manifest) -> None:
        by_hand = {**found["spec"]["predictors"][0], "name": "by-hand", "traffic": 0, "labels": {}}
        found["spec"]["predictors"].append(by_hand)

    cluster.api.edit(SELDON_DEPLOYMENT, "wine", place.namespace, add)
    SeldonTarget(place).ensure(deployment("1.4.0"))
    after = cluster.api.get(SELDON_DEPLOYMENT, "wine", place.namespace)
    assert after is not None
    assert [one["name"] for one in seldon.predictors(after)] == ["v1-3-2", "by-hand", "v1-4-0"]
