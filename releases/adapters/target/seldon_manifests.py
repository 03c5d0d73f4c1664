"""The manifests of a version on Seldon Core: its predictor, the SeldonDeployment around it, its autoscaler.

Pure: deployment and place in, manifests out. What is here and why was read in the operator's source (1.17.1):
- Everything in a predictor except `traffic` and `replicas` is part of its pods (the operator hands the whole
  predictor to the executor), so a change of it restarts them.
- The operator numbers metrics ports by the position of predictors, unless the container says its own.
- `hpaSpec` knows no behaviour, and the operator takes it away from the autoscaler that it makes of that. So
  the autoscaler is an object of our own, and `replicas` is left out while it rules.
"""

import math
from typing import Any

from releases.adapters import seldon_objects as seldon
from releases.adapters.artifact_uri import artifact_place
from releases.adapters.seldon_objects import Manifest
from releases.adapters.seldon_place import SeldonPlace
from releases.domain.kubernetes_syntax import labels
from releases.domain.manifests.autoscaling import Scaled
from releases.domain.manifests.autoscaling import autoscaler as horizontal_pod_autoscaler
from releases.ports import Deployment, Refused

MODEL_METRICS_PORT = 6000
PROBE_SECONDS = 5
EXECUTOR_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}


def predictor(deployment: Deployment, place: SeldonPlace, traffic: int) -> Manifest:
    """The predictor of a version."""
    made: Manifest = {
        "name": seldon.predictor_name(deployment.version),
        "labels": {seldon.REF: deployment.ref, **labels(place.pod_labels)},
        "annotations": {seldon.DIGEST: deployment.digest, seldon.VERSION: deployment.version},
        "graph": {
            "name": seldon.GRAPH_NODE,
            "type": "MODEL",
            "implementation": "MLFLOW_SERVER",
            "modelUri": artifact_place(place.artifacts, deployment).uri,
            "envSecretRefName": place.artifacts_secret,
        },
        "componentSpecs": [
            {"spec": {"automountServiceAccountToken": False, "containers": [_container(place)]}}
        ],
        "svcOrchSpec": {"resources": EXECUTOR_RESOURCES},
        "progressDeadlineSeconds": place.start_seconds,
        "traffic": traffic,
    }
    if deployment.autoscaling is None:
        made["replicas"] = 1
    return made


def with_predictor(present: Manifest | None, deployment: Deployment, place: SeldonPlace) -> Manifest:
    """The SeldonDeployment with the version's predictor as the place wants it now: with the same share of the
    traffic as before, none when it is new, all when it is the only one.

    `Refused` when another version, or another digest of this one, has the predictor's name."""
    name = seldon.predictor_name(deployment.version)
    others: list[Manifest] = []
    own: Manifest | None = None
    position = 0
    for index, one in enumerate(seldon.predictors(present) if present else []):
        if seldon.ref(one) == deployment.ref:
            own, position = one, index
        elif one["name"] == name:
            raise Refused(_taken(one, deployment))
        else:
            others.append(one)
    made = predictor(deployment, place, seldon.traffic(own) if own else 0)
    if own is None:
        position = len(others)
    return _seldon_deployment(present, deployment, place, [*others[:position], made, *others[position:]])


def with_replicas(present: Manifest, deployment: Deployment) -> Manifest:
    """The SeldonDeployment as it is, but for who rules the replicas of the version: that restarts nothing."""
    predictors = []
    for one in seldon.predictors(present):
        if seldon.ref(one) == deployment.ref:
            one = {key: value for key, value in one.items() if key != "replicas"}
            if deployment.autoscaling is None:
                one["replicas"] = 1
        predictors.append(one)
    return {**present, "spec": {**present["spec"], "predictors": predictors}}


def without_predictor(present: Manifest, ref: str) -> Manifest:
    """The SeldonDeployment without a predictor, which is not its last one; what traffic it still had goes to
    the first that stays."""
    gone = seldon.predictor(present, ref)
    stay = [dict(one) for one in seldon.predictors(present) if seldon.ref(one) != ref]
    stay[0]["traffic"] = seldon.traffic(stay[0]) + (seldon.traffic(gone) if gone else 0)
    return {**present, "spec": {**present["spec"], "predictors": _complete(stay)}}


def autoscaler(deployment: Deployment, place: SeldonPlace) -> Manifest | None:
    """The version's HorizontalPodAutoscaler; None when it does not scale."""
    if deployment.autoscaling is None:
        return None
    scaled = Scaled(
        tenant=deployment.tenant,
        environment=deployment.environment,
        model=deployment.model,
        version=deployment.version,
        ref=deployment.ref,
        namespace=place.namespace,
    )
    return horizontal_pod_autoscaler(scaled, deployment.autoscaling)


def owned_by(manifest: Manifest, owner: Manifest) -> Manifest:
    """The manifest, to go when its owner goes."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def _seldon_deployment(
    present: Manifest | None, deployment: Deployment, place: SeldonPlace, predictors: list[Manifest]
) -> Manifest:
    roles = seldon.annotation(present) if present else {}
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {
            "name": seldon.seldon_deployment_name(deployment.model),
            "namespace": place.namespace,
            "labels": seldon.labels(deployment.tenant, deployment.environment, deployment.model),
            "annotations": {seldon.STABLE: "", seldon.CANDIDATE: "", **roles},
        },
        "spec": {"protocol": "v2", "predictors": _complete(predictors)},
    }


def _complete(predictors: list[Manifest]) -> list[Manifest]:
    """One alone has all the traffic: the operator's webhook wants it so, and so does common sense."""
    return [{**predictors[0], "traffic": 100}] if len(predictors) == 1 else predictors


def _taken(one: Manifest, deployment: Deployment) -> str:
    holds = (one.get("annotations") or {}).get(seldon.VERSION, "a predictor that is not the portal's")
    if holds == deployment.version:
        return (
            f"the predictor {one['name']} of {deployment.model} serves {holds} with the digest "
            f"{seldon.digest(one)}, and {deployment.digest} was to be deployed: a version that is deployed "
            "never changes. Register the new artifact as a new version"
        )
    return (
        f"the predictor name {one['name']} of {deployment.model} {deployment.version} is taken by {holds}: "
        "register it as another version, or remove the other one first"
    )


def _container(place: SeldonPlace) -> Manifest:
    """MLServer, and what of it is not the operator's default.

    The startup probe alone waits for slow models: the other two begin after it, and are then as strict as for
    a model that starts at once. The last lines of a log are kept as the reason why a container ended."""
    resources: dict[str, dict[str, str]] = {}
    for part, cpu, memory in (
        ("requests", place.cpu_request, place.memory_request),
        ("limits", place.cpu_limit, place.memory_limit),
    ):
        given = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
        if given:
            resources[part] = given
    made: Manifest = {
        "name": seldon.GRAPH_NODE,
        "env": [{"name": "MLSERVER_PARALLEL_WORKERS", "value": "0"}],  # in one process: half the memory
        "ports": [{"name": "metrics", "containerPort": MODEL_METRICS_PORT, "protocol": "TCP"}],
        "resources": resources,
        "startupProbe": _probe("ready", math.ceil(place.start_seconds / PROBE_SECONDS)),
        "readinessProbe": _probe("ready", 3),
        "livenessProbe": _probe("live", 12),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    if place.models_secret:
        made["envFrom"] = [{"secretRef": {"name": place.models_secret}}]
    if place.model_image:
        made["image"] = place.model_image
    return made


def _probe(question: str, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/v2/health/{question}", "port": "http", "scheme": "HTTP"},
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": PROBE_SECONDS,
        "successThreshold": 1,
        "failureThreshold": failures,
    }
