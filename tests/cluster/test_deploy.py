"""The manifests of the portal itself are what a real API server accepts, and name settings that exist."""

from pathlib import Path

import pytest
import yaml

from releases.adapters.kubernetes_api import Kind, Manifest
from tests.cluster.api import Api, until
from tests.cluster.conftest import TestCluster

BASE = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
SETTINGS = (BASE.parents[1] / "mlops_portal/settings.py").read_text()
KINDS = {
    kind.name: kind
    for kind in (
        Kind("v1", "ConfigMap", "configmaps"),
        Kind("v1", "Service", "services"),
        Kind("apps/v1", "Deployment", "deployments"),
        Kind("batch/v1", "Job", "jobs"),
        Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    )
}


def resources() -> list[Manifest]:
    """All objects of the base, in the order of its kustomization."""
    named = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [one for name in named for one in yaml.safe_load_all((BASE / name).read_text())]


def applied(api: Api, manifest: Manifest, namespace: str) -> Manifest:
    """As `kubectl apply --server-side --validate=strict` would: unknown fields are refused."""
    kind = KINDS[manifest["kind"]]
    body = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    path = kind.path(namespace, manifest["metadata"]["name"])
    query = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
    return api.call("PATCH", path, body, "application/apply-patch+yaml", **query)


def test_base_names_every_file_beside_it() -> None:
    named = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {*named, "kustomization.yaml"} == {path.name for path in BASE.iterdir()}


def test_base_sets_only_settings_that_exist() -> None:
    (configuration,) = [one for one in resources() if one["kind"] == "ConfigMap"]
    assert [name for name in configuration["data"] if f'"{name}"' not in SETTINGS] == []


@pytest.mark.parametrize("component", ["web", "worker", "beat"])
def test_component_is_restricted_and_asks_for_what_it_needs(component: str) -> None:
    (found,) = [
        one for one in resources() if one["kind"] == "Deployment" and one["metadata"]["name"] == component
    ]
    spec = found["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert ("serviceAccountName" in spec) == (component == "worker")
    for container in spec["containers"]:
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "livenessProbe" in container


def test_base_is_accepted_and_its_pods_are_started(cluster: TestCluster) -> None:
    with cluster.namespace() as namespace:
        account = Kind("v1", "ServiceAccount", "serviceaccounts")
        cluster.api.create(account, {"metadata": {"name": "mlops-portal"}}, namespace)
        for manifest in resources():
            applied(cluster.api, manifest, namespace)
        wanted = {"web": 2, "worker": 1, "beat": 1}
        until(
            lambda: running(cluster.api, namespace) == wanted, f"all run: {running(cluster.api, namespace)}"
        )
        budget = KINDS["PodDisruptionBudget"]
        until(
            lambda: (
                (cluster.api.get(budget, "web", namespace) or {})["status"].get("disruptionsAllowed") == 1
            ),
            "one web pod may be moved",
        )


def running(api: Api, namespace: str) -> dict[str, int]:
    """Deployment -> its ready pods."""
    found = api.list(KINDS["Deployment"], namespace)
    return {one["metadata"]["name"]: one["status"].get("readyReplicas", 0) for one in found}
