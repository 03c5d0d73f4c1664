"""What Seldon Core's operator 1.17.1 makes of a SeldonDeployment: the objects, as plain dictionaries.

Knows no API server and no state: a SeldonDeployment goes in, what shall exist comes out. It covers what the
portal writes, a graph of one prepackaged server with protocol v2, and refuses everything else, so that no
test passes on something that the real operator would do differently. `test_golden.py` holds it against
recordings of the real one; the functions follow the order of its source (`seldondeployment_controller.go`,
`defaults.go`, `mlserver.go`, `seldondeployment_engine.go`), which is where the surprises come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from releases.adapters.kubernetes_api import Manifest
from tests.cluster.seldon_pods import (
    EXECUTOR_GRPC,
    EXECUTOR_HTTP,
    GRPC,
    HTTP,
    SERVERS,
    NotPlayed,
    pod,
    with_defaults,
)

__all__ = ["Components", "NotPlayed", "components"]

GATEWAY = "istio-system/seldon-gateway"
GRPC_PATHS = ".*tensorflow.*|.*seldon.protos.*|.*inference.*"


@dataclass
class Components:
    """What shall exist for one SeldonDeployment."""

    deployments: list[Manifest] = field(default_factory=list)
    services: list[Manifest] = field(default_factory=list)
    autoscalers: list[Manifest] = field(default_factory=list)
    virtual_service: Manifest = field(default_factory=dict)
    destination_rules: list[Manifest] = field(default_factory=list)
    service_status: dict[str, dict[str, str]] = field(default_factory=dict)


def components(seldon: Mapping[str, Any]) -> Components:
    """All that the operator creates for it."""
    made = Components()
    name, namespace = seldon["metadata"]["name"], seldon["metadata"]["namespace"]
    _refuse(seldon)
    for predictor in with_defaults(seldon):
        made.services.append(_model_service(name, namespace, predictor, made))
        made.deployments.append(_deployment(seldon, predictor))
        if autoscaling := predictor["componentSpecs"][0].get("hpaSpec"):
            made.autoscalers.append(_autoscaler(name, namespace, predictor, autoscaling))
        made.services.append(_predictor_service(name, namespace, predictor, made))
        made.destination_rules.append(_destination_rule(name, namespace, predictor))
    made.virtual_service = _virtual_service(name, namespace, seldon["spec"]["predictors"])
    for item in (
        *made.deployments,
        *made.services,
        *made.autoscalers,
        made.virtual_service,
        *made.destination_rules,
    ):
        item["metadata"]["ownerReferences"] = [_owner(seldon)]
    return made


def deployment_name(name: str, predictor: str) -> str:
    """The Deployment of a predictor whose only container is called `model`."""
    return f"{name}-{predictor}-0-model"


def _refuse(seldon: Mapping[str, Any]) -> None:
    name, spec = seldon["metadata"]["name"], seldon["spec"]
    if spec.get("protocol") != "v2":
        raise NotPlayed(f"protocol {spec.get('protocol')!r}: only v2 is played")
    for predictor in spec["predictors"]:
        graph = predictor["graph"]
        if graph.get("implementation") not in SERVERS or graph.get("children") or graph["name"] != "model":
            raise NotPlayed(f"the graph of {predictor['name']}: only one prepackaged server called model")
        if len(deployment_name(name, predictor["name"])) > 63:
            raise NotPlayed(f"the names of {predictor['name']} are longer than 63 characters")
        if len(predictor.get("componentSpecs") or [{}]) != 1:
            raise NotPlayed(f"{predictor['name']} has more than one component")


def _deployment(seldon: Mapping[str, Any], predictor: Mapping[str, Any]) -> Manifest:
    name, namespace = seldon["metadata"]["name"], seldon["metadata"]["namespace"]
    component = predictor["componentSpecs"][0]
    deployment, service = deployment_name(name, predictor["name"]), f"{name}-{predictor['name']}"
    extra = component.get("metadata") or {}
    labels = {
        "app": deployment,
        "app.kubernetes.io/managed-by": "seldon-core",
        "fluentd": "true",
        "seldon-app": service,
        "seldon-app-svc-model": f"{service}-model",
        "seldon-deployment-id": name,
        "seldon.io/model": "true",
        **predictor["labels"],
        **(extra.get("labels") or {}),
    }
    if predictor.get("shadow"):
        labels["seldon.io/shadow"] = "true"
    annotations = {
        **(seldon["spec"].get("annotations") or {}),
        **(predictor.get("annotations") or {}),
        **(extra.get("annotations") or {}),
    }
    selected = ("seldon-app", "seldon-app-svc-model", "seldon-deployment-id")
    replicas = next(
        (at["replicas"] for at in (component, predictor, seldon["spec"]) if at.get("replicas") is not None),
        None,
    )
    fixed = {} if replicas is None or component.get("hpaSpec") else {"replicas": replicas}
    deadline = predictor.get("progressDeadlineSeconds")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment,
            "namespace": namespace,
            "labels": {**labels, "seldon-deployment-contains-svcorch": "true"},
            "annotations": annotations,
        },
        "spec": {
            **fixed,
            **({} if deadline is None else {"progressDeadlineSeconds": deadline}),
            "selector": {"matchLabels": {key: labels[key] for key in selected}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "prometheus.io/path": "/prometheus",
                        "prometheus.io/scrape": "true",
                        **annotations,
                    },
                },
                "spec": pod(seldon, predictor),
            },
        },
    }


def _autoscaler(
    name: str, namespace: str, predictor: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Manifest:
    """Three fields of hpaSpec; a `behavior` is none of them."""
    target = deployment_name(name, predictor["name"])
    least = {} if wanted.get("minReplicas") is None else {"minReplicas": wanted["minReplicas"]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": target, "namespace": namespace, "labels": {"seldon-deployment-id": name}},
        "spec": {
            **least,
            "maxReplicas": wanted["maxReplicas"],
            "metrics": wanted.get("metricsv2") or [],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        },
    }


def _model_service(name: str, namespace: str, predictor: Mapping[str, Any], made: Components) -> Manifest:
    service = f"{name}-{predictor['name']}"
    labels = {"seldon-app-svc-model": f"{service}-model", "seldon.io/model": "true"}
    if predictor.get("shadow"):
        labels["seldon.io/shadow"] = "true"
    selector = {"seldon-app-svc-model": f"{service}-model"}
    ports = {"http": HTTP, "grpc": GRPC}
    return _service(f"{service}-model", service, name, namespace, predictor, labels, selector, ports, made)


def _predictor_service(name: str, namespace: str, predictor: Mapping[str, Any], made: Components) -> Manifest:
    service = f"{name}-{predictor['name']}"
    ports = {"http": EXECUTOR_HTTP, "grpc": EXECUTOR_GRPC}
    return _service(service, service, name, namespace, predictor, {}, {"seldon-app": service}, ports, made)


def _service(
    service: str,
    app: str,
    name: str,
    namespace: str,
    predictor: Mapping[str, Any],
    labels: Mapping[str, str],
    selector: Mapping[str, str],
    ports: Mapping[str, int],
    made: Components,
) -> Manifest:
    made.service_status[service] = {
        "svcName": service,
        "httpEndpoint": f"{service}.{namespace}:{ports['http']}",
        "grpcEndpoint": f"{service}.{namespace}:{ports['grpc']}",
    }
    common = {"app.kubernetes.io/managed-by": "seldon-core"}
    common |= {"seldon-app": app, "seldon-deployment-id": name}
    annotations = predictor.get("annotations") or {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {**common, **labels},
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {
            "type": "ClusterIP",
            "selector": dict(selector),
            "sessionAffinity": "None",
            "ports": [
                {"name": key, "port": number, "protocol": "TCP", "targetPort": number}
                for key, number in ports.items()
            ],
        },
    }


def _destination_rule(name: str, namespace: str, predictor: Mapping[str, Any]) -> Manifest:
    service = f"{name}-{predictor['name']}"
    subset = {"name": predictor["name"], "labels": {"version": predictor["labels"]["version"]}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": service, "namespace": namespace},
        "spec": {
            "host": f"{service}.{namespace}.svc.cluster.local",
            "subsets": [subset],
            "trafficPolicy": {"connectionPool": {"http": {"idleTimeout": "60s"}}},
        },
    }


def _virtual_service(name: str, namespace: str, predictors: list[dict[str, Any]]) -> Manifest:
    """One route for HTTP, one for gRPC; a shadow is a mirror; a weight of 0 is left out, its
    destination is not."""
    prefix: dict[str, Any] = {
        "match": [{"uri": {"prefix": f"/seldon/{namespace}/{name}/"}}],
        "rewrite": {"uri": "/"},
    }
    headers = {"seldon": {"exact": name}, "namespace": {"exact": namespace}}
    grpc: dict[str, Any] = {"match": [{"uri": {"regex": GRPC_PATHS}, "headers": headers}]}
    for route, port in ((prefix, EXECUTOR_HTTP), (grpc, EXECUTOR_GRPC)):
        route["route"] = []
        for predictor in predictors:
            destination = {
                "host": f"{name}-{predictor['name']}.{namespace}.svc.cluster.local",
                "port": {"number": port},
                "subset": predictor["name"],
            }
            weight = predictor.get("traffic", 0)
            if not predictor.get("shadow"):
                weighted = {"weight": weight} if weight else {}
                route["route"].append({"destination": destination, **weighted})
                continue
            route["mirror"] = destination
            if weight:
                route["mirrorPercentage"] = {"value": weight}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"hosts": ["*"], "gateways": [GATEWAY], "http": [prefix, grpc]},
    }


def _owner(seldon: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "name": seldon["metadata"]["name"],
        "uid": seldon["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
