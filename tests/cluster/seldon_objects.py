"""What Seldon Core's operator 1.17.1 makes of a SeldonDeployment: the objects, as plain dictionaries.

Knows no API server and no state: a SeldonDeployment goes in, what shall exist comes out. It covers what the
portal writes, a graph of one prepackaged server with protocol v2, and refuses everything else, so that no
test passes on something that the real operator would do differently. `test_golden.py` holds it against
recordings of the real one; the functions follow the order of its source (`seldondeployment_controller.go`,
`defaults.go`, `mlserver.go`, `seldondeployment_engine.go`), which is where the surprises come from.
"""

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from releases.adapters.kubernetes_api import Manifest

HTTP, GRPC, FIRST_METRICS = 9000, 9500, 6000  # of the model container
EXECUTOR_HTTP, EXECUTOR_GRPC = 8000, 5001
EXECUTOR = "seldon-container-engine"
EXECUTOR_IMAGE = "seldonio/seldon-core-executor:1.17.1"
INITIALIZER_IMAGE = "seldonio/rclone-storage-initializer:1.14.1"
MOUNT = "/mnt/models"
SERVERS = {  # as the ConfigMap seldon-config has them: (image, MLServer's implementation)
    "MLFLOW_SERVER": ("seldonio/mlserver:1.3.5-mlflow", "mlserver_mlflow.MLflowRuntime"),
    "SKLEARN_SERVER": ("seldonio/mlserver:1.3.5-sklearn", "mlserver_sklearn.SKLearnModel"),
}
GATEWAY = "istio-system/seldon-gateway"
GRPC_PATHS = ".*tensorflow.*|.*seldon.protos.*|.*inference.*"
API_DEFAULTS = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


class NotPlayed(Exception):
    """The SeldonDeployment asks for something that this stand-in does not play."""


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
    for predictor in _with_defaults(seldon):
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


def _with_defaults(seldon: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The predictors as `Default()` leaves them. The metrics ports count over all predictors: a container
    without a port called `metrics` of its own gets another number when an earlier predictor goes."""
    metrics = FIRST_METRICS
    predictors = copy.deepcopy(seldon["spec"]["predictors"])
    for predictor in predictors:
        predictor.setdefault("labels", {}).setdefault("version", predictor["name"])
        predictor["graph"]["type"] = "MODEL"
        component = (predictor.setdefault("componentSpecs", None) or [{}])[0]
        predictor["componentSpecs"] = [component]
        containers = component.setdefault("spec", {}).setdefault("containers", [])
        model = next((each for each in containers if each["name"] == "model"), None)
        if model is None:
            model = {"name": "model"}
            containers.append(model)
        if len(containers) != 1:
            raise NotPlayed(f"{predictor['name']} has containers besides the model's")
        image, _ = SERVERS[predictor["graph"]["implementation"]]
        model.setdefault("image", image)
        given = {port.get("name"): port["containerPort"] for port in model.get("ports", [])}
        if {"http", "grpc"} & set(given):
            raise NotPlayed(f"{predictor['name']} has ports of its own")
        if "metrics" not in given:
            given["metrics"], metrics = metrics, metrics + 1
        _finish_model(seldon, predictor, component, model, given["metrics"])
        predictor["graph"]["endpoint"] = {
            **predictor["graph"].get("endpoint", {}),
            "service_host": "localhost",
            "service_port": HTTP,
            "httpPort": HTTP,
            "grpcPort": GRPC,
        }
    return predictors


def _finish_model(
    seldon: Mapping[str, Any],
    predictor: Mapping[str, Any],
    component: dict[str, Any],
    model: dict[str, Any],
    metrics: int,
) -> None:
    """The container of MLServer: what was given, and what the operator adds."""
    namespace = seldon["metadata"]["namespace"]
    _, implementation = SERVERS[predictor["graph"]["implementation"]]
    env: dict[str, Any] = {
        "MLSERVER_HTTP_PORT": str(HTTP),
        "MLSERVER_GRPC_PORT": str(GRPC),
        "MLSERVER_MODEL_IMPLEMENTATION": implementation,
        "MLSERVER_MODEL_NAME": "model",
        "MLSERVER_MODEL_VERSION": "v1",
        "MLSERVER_MODEL_URI": MOUNT,
        "TEMPO_RUNTIME_OPTIONS": '{"k8s_options": {"defaultRuntime": "tempo.seldon.SeldonKubernetesRuntime",'
        f' "namespace": "{namespace}"}}}}',
    }
    given = {entry["name"]: entry for entry in model.get("env", [])}
    env |= given | {
        "PREDICTIVE_UNIT_SERVICE_PORT": str(HTTP),
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT": str(HTTP),
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT": str(GRPC),
        "PREDICTIVE_UNIT_ID": "model",
        "PREDICTIVE_UNIT_IMAGE": model["image"],
        "PREDICTOR_ID": predictor["name"],
        "PREDICTOR_LABELS": _json(predictor["labels"]),
        "SELDON_DEPLOYMENT_ID": seldon["metadata"]["name"],
        "SELDON_EXECUTOR_ENABLED": "true",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT": str(metrics),
        "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
        "MLSERVER_METRICS_PORT": str(metrics),
        "MLSERVER_METRICS_ENDPOINT": "/prometheus",
    }
    model["env"] = [
        value if isinstance(value, dict) else {"name": name, "value": value} for name, value in env.items()
    ]
    model["ports"] = [
        {"name": "grpc", "containerPort": GRPC, "protocol": "TCP"},
        {"name": "http", "containerPort": HTTP, "protocol": "TCP"},
    ]
    for probe, path, wait in (("livenessProbe", "live", 60), ("readinessProbe", "ready", 20)):
        default = {"initialDelaySeconds": wait, "timeoutSeconds": 1, "periodSeconds": 5}
        default |= {"successThreshold": 1, "failureThreshold": 3}
        kept = {key: value for key, value in model.get(probe, default).items() if not _is_handler(key)}
        address = {"path": f"/v2/health/{path}", "port": "http", "scheme": "HTTP"}
        model[probe] = {"httpGet": address, **kept}
    stop = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}}
    model.setdefault("lifecycle", stop)
    model.setdefault("resources", {})
    model.setdefault("imagePullPolicy", "IfNotPresent")
    for key, value in API_DEFAULTS.items():
        model.setdefault(key, value)
    model["volumeMounts"] = [
        *model.get("volumeMounts", []),
        {"name": "seldon-podinfo", "mountPath": "/etc/podinfo"},
        {"name": "model-provision-location", "readOnly": True, "mountPath": MOUNT},
    ]
    component.setdefault("metadata", {}).setdefault("creationTimestamp", None)


def _is_handler(key: str) -> bool:
    return key in ("httpGet", "tcpSocket", "exec", "grpc")


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
                "spec": _pod(seldon, predictor),
            },
        },
    }


def _pod(seldon: Mapping[str, Any], predictor: Mapping[str, Any]) -> dict[str, Any]:
    given = predictor["componentSpecs"][0]["spec"]
    graph = predictor["graph"]
    secret = graph.get("envSecretRefName")
    initializer = {
        "name": "model-model-initializer",
        "image": INITIALIZER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [graph["modelUri"], MOUNT],
        "resources": {
            "limits": {"cpu": "1", "memory": "1Gi"},
            "requests": {"cpu": "100m", "memory": "100Mi"},
        },
        "volumeMounts": [{"name": "model-provision-location", "mountPath": MOUNT}],
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        **API_DEFAULTS,
    }
    annotations = {
        "path": "annotations",
        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"},
    }
    volumes: list[dict[str, Any]] = [
        *given.get("volumes", []),
        {"name": "seldon-podinfo", "downwardAPI": {"defaultMode": 420, "items": [annotations]}},
        {"name": "model-provision-location", "emptyDir": {}},
    ]
    account = graph.get("serviceAccountName")
    return {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 20,
        **given,
        **({"serviceAccountName": account} if account else {}),
        "initContainers": [*given.get("initContainers", []), initializer],
        "containers": [*given["containers"], _executor(seldon, predictor)],
        "volumes": volumes,
    }


def _executor(seldon: Mapping[str, Any], predictor: Mapping[str, Any]) -> dict[str, Any]:
    """Seldon's executor. Its env holds the whole predictor but for traffic and replicas: whatever else of a
    predictor changes restarts its pods."""
    meta = seldon["metadata"]
    orchestrator = predictor.get("svcOrchSpec") or {}
    probe = {"initialDelaySeconds": 20, "periodSeconds": 5, "failureThreshold": 3}
    probe |= {"successThreshold": 1, "timeoutSeconds": 60}
    arguments = ["--sdep", meta["name"], "--namespace", meta["namespace"], "--predictor", predictor["name"]]
    arguments += ["--http_port", str(EXECUTOR_HTTP), "--grpc_port", str(EXECUTOR_GRPC)]
    arguments += ["--protocol", "v2", "--transport", seldon["spec"].get("transport", "rest")]
    arguments += ["--prometheus_path", "/prometheus", "--server_type", "rpc"]
    arguments += ["--log_work_buffer_size", "10000", "--log_write_timeout_ms", "2000"]
    default = {"cpu": "500m", "memory": "512Mi"}
    return {
        "name": EXECUTOR,
        "image": EXECUTOR_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [*arguments, "--full_health_checks=false"],
        "env": [
            {"name": "ENGINE_PREDICTOR", "value": base64.b64encode(_seen_by_executor(predictor)).decode()},
            {"name": "REQUEST_LOGGER_DEFAULT_ENDPOINT", "value": "http://default-broker"},
            *(orchestrator.get("env") or []),
        ],
        "ports": [
            {"name": "http", "containerPort": EXECUTOR_HTTP, "protocol": "TCP"},
            {"name": "metrics", "containerPort": EXECUTOR_HTTP, "protocol": "TCP"},
            {"name": "grpc", "containerPort": EXECUTOR_GRPC, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8000, "scheme": "HTTP"}, **probe},
        "livenessProbe": {"httpGet": {"path": "/live", "port": 8000, "scheme": "HTTP"}, **probe},
        "resources": orchestrator.get("resources") or {"limits": default, "requests": default},
        "securityContext": {"allowPrivilegeEscalation": False, "runAsUser": 8888},
        "volumeMounts": [{"name": "seldon-podinfo", "mountPath": "/etc/podinfo"}],
        **API_DEFAULTS,
    }


def _seen_by_executor(predictor: Mapping[str, Any]) -> bytes:
    seen = {key: value for key, value in predictor.items() if key not in ("traffic", "replicas")}
    seen |= {"replicas": 0, "engineResources": {}, "svcOrchSpec": predictor.get("svcOrchSpec") or {}}
    if not seen["graph"].get("children"):
        seen["graph"] = {key: value for key, value in seen["graph"].items() if key != "children"}
    if not seen.get("shadow"):
        seen.pop("shadow", None)
    return _json(seen).encode()


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


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
