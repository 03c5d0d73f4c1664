"""The pods of a predictor as Seldon Core's operator 1.17.1 makes them: MLServer and the executor.

Pure, and a part of `seldon_objects`. The order of everything follows the operator's source.
"""

import base64
import copy
import json
from collections.abc import Mapping
from typing import Any

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
API_DEFAULTS = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


class NotPlayed(Exception):
    """The SeldonDeployment asks for something that this stand-in does not play."""


def with_defaults(seldon: Mapping[str, Any]) -> list[dict[str, Any]]:
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


def pod(seldon: Mapping[str, Any], predictor: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of its pods; the predictor has its defaults."""
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


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
