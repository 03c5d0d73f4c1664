"""The rights of `deploy/rbac.yaml`, bound to the user that the tests are."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from releases.adapters.kubernetes_api import Kind
from tests.cluster.api import CLUSTER_ROLE, NAMESPACE, ROLE_BINDING, Api, until

FILE = Path(__file__).resolve().parents[2] / "deploy/rbac.yaml"
MODELS = "mlops-portal-models"
USER = {"kind": "User", "name": "portal", "apiGroup": "rbac.authorization.k8s.io"}
MANAGER = "tests"
REVIEW = Kind("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", is_namespaced=False)


def documents() -> list[dict[str, Any]]:
    """Of the file as it is delivered."""
    return [one for one in yaml.safe_load_all(FILE.read_text()) if one]


def grant(api: Api, namespaces: Iterable[str]) -> None:
    """Give the user what the file gives the portal's account: around, and in these namespaces of models."""
    for document in documents():
        if document["kind"] == "ClusterRole":
            api.apply(CLUSTER_ROLE, document, MANAGER)
        elif document["kind"] == "RoleBinding" and document["roleRef"]["name"] != MODELS:
            _bind(api, document, document["metadata"]["namespace"])
    for namespace in namespaces:
        _bind(api, _binding_of_models(), namespace)
        _await(api, namespace)


def _await(api: Api, namespace: str) -> None:
    """Returns when the user may see the namespace: the API server learns of a binding a moment later."""
    asked = {"namespace": namespace, "verb": "get", "resource": "namespaces", "name": namespace}
    review = {"spec": {"user": USER["name"], "resourceAttributes": asked}}
    until(
        lambda: api.create(REVIEW, review).get("status", {}).get("allowed"),
        f"the API server knows the rights in {namespace}",
    )


def _binding_of_models() -> dict[str, Any]:
    return next(one for one in documents() if one.get("roleRef", {}).get("name") == MODELS)


def _bind(api: Api, document: dict[str, Any], namespace: str) -> None:
    bound = copy.deepcopy(document)
    bound["metadata"]["namespace"] = namespace
    bound["subjects"] = [USER]
    if api.get(NAMESPACE, namespace) is None:
        api.create(NAMESPACE, {"metadata": {"name": namespace}})
    api.apply(ROLE_BINDING, bound, MANAGER)
