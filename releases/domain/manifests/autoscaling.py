"""Autoscaling as a HorizontalPodAutoscaler, and read back from one. Pure.

The autoscaler is an object of our own beside the SeldonDeployment: its `hpaSpec` knows no behaviour, and a
change of it restarts the pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from releases.domain.autoscaling import Autoscaling
from releases.domain.errors import Invalid
from releases.domain.kubernetes_syntax import quantity
from releases.domain.manifests import names, ownership

REQUESTS_METRIC = "requests_per_second"
QUEUE_METRIC = "sqs_queue_depth"
QUEUE_LABEL = "queue"


def autoscaler_spec(wanted: Autoscaling) -> dict[str, Any]:
    """`spec` of autoscaling/v2, without the `scaleTargetRef`."""
    return {
        "minReplicas": wanted.min_replicas,
        "maxReplicas": wanted.max_replicas,
        "metrics": _metrics(wanted),
        "behavior": _behavior(wanted),
    }


@dataclass(frozen=True, slots=True)
class Scaled:
    """A version that scales: whose it is, and where."""

    tenant: str
    environment: str
    model: str
    version: str
    ref: str
    namespace: str


def autoscaler(scaled: Scaled, wanted: Autoscaling) -> dict[str, Any]:
    """The whole object, for the Deployment that Seldon Core makes of the version."""
    of = names.seldon_deployment_name(scaled.model)
    predictor = names.predictor_name(scaled.version)
    workload = names.workload_name(of, predictor)
    labels = ownership.labels(scaled.tenant, scaled.environment)
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": names.autoscaler_name(of, predictor),
            "namespace": scaled.namespace,
            "labels": {**labels, ownership.MODEL: scaled.model, names.REF: scaled.ref},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload},
            **autoscaler_spec(wanted),
        },
    }


def _metrics(wanted: Autoscaling) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if wanted.cpu_percent is not None:
        target: dict[str, Any] = {"type": "Utilization", "averageUtilization": wanted.cpu_percent}
        found.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if wanted.requests_per_second is not None:
        target = {"type": "AverageValue", "averageValue": str(wanted.requests_per_second)}
        found.append({"type": "Pods", "pods": {"metric": {"name": REQUESTS_METRIC}, "target": target}})
    if wanted.queue_depth is not None:
        selector = {"matchLabels": {QUEUE_LABEL: wanted.queue}}
        metric = {"name": QUEUE_METRIC, "selector": selector}
        target = {"type": "Value", "value": str(wanted.queue_depth)}
        found.append({"type": "External", "external": {"metric": metric, "target": target}})
    return found


def _behavior(wanted: Autoscaling) -> dict[str, Any]:
    down, up = wanted.scale_down_period_seconds, wanted.scale_up_period_seconds
    return {
        "scaleDown": {
            "stabilizationWindowSeconds": wanted.scale_down_window_seconds,
            "policies": [{"type": "Percent", "value": wanted.scale_down_percent, "periodSeconds": down}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": wanted.scale_up_window_seconds,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": wanted.scale_up_percent, "periodSeconds": up},
                {"type": "Pods", "value": wanted.scale_up_pods, "periodSeconds": up},
            ],
        },
    }


def autoscaling(autoscaler: Mapping[str, Any]) -> Autoscaling | None:
    """What a HorizontalPodAutoscaler says, as an API server gives it back; None when it says anything that
    we cannot say."""
    spec = autoscaler.get("spec") or {}
    try:
        read = Autoscaling(
            min_replicas=spec.get("minReplicas", 1),
            max_replicas=spec["maxReplicas"],
            **_read_metrics(spec.get("metrics") or []),
            **_read_behavior(spec["behavior"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, Invalid):
        return None
    same = _comparable(autoscaler_spec(read)) == _comparable(spec)
    return read if same else None


def _read_metrics(metrics: list[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu_percent": None, "requests_per_second": None, "queue_depth": None}
    for metric in metrics:
        kind = metric["type"]
        if kind == "Resource":
            found["cpu_percent"] = metric["resource"]["target"]["averageUtilization"]
        elif kind == "Pods":
            found["requests_per_second"] = _whole(metric["pods"]["target"]["averageValue"])
        elif kind == "External":
            found["queue"] = metric["external"]["metric"]["selector"]["matchLabels"][QUEUE_LABEL]
            found["queue_depth"] = _whole(metric["external"]["target"]["value"])
    return found


def _whole(text: str) -> int:
    """A quantity that is a whole number, as an API server writes it: "1000" comes back as "1k"."""
    amount = quantity(text)
    if amount is None or amount % 1:
        raise ValueError(text)
    return int(amount)


def _read_behavior(behavior: Mapping[str, Any]) -> dict[str, Any]:
    down, up = behavior["scaleDown"], behavior["scaleUp"]
    kinds = {policy["type"]: policy for policy in up["policies"]}
    return {
        "scale_down_window_seconds": down["stabilizationWindowSeconds"],
        "scale_down_percent": down["policies"][0]["value"],
        "scale_down_period_seconds": down["policies"][0]["periodSeconds"],
        "scale_up_window_seconds": up["stabilizationWindowSeconds"],
        "scale_up_percent": kinds["Percent"]["value"],
        "scale_up_pods": kinds["Pods"]["value"],
        "scale_up_period_seconds": kinds["Percent"]["periodSeconds"],
    }


def _comparable(part: Any, key: str = "") -> Any:
    """A part of a spec without what the API server adds, and in one order where it has none."""
    if isinstance(part, Mapping):
        kept = {name: _comparable(value, name) for name, value in part.items() if name != "scaleTargetRef"}
        if kept.get("selectPolicy") == "Max":  # the default
            del kept["selectPolicy"]
        return dict(sorted(kept.items()))
    if isinstance(part, list):
        return sorted((_comparable(item) for item in part), key=repr)
    return quantity(part) if key in ("value", "averageValue") and isinstance(part, str) else part
