"""How an environment is connected to a namespace of a cluster: a value that is valid once constructed.

Pure; knows the syntax, not whether the cluster, the namespace or the secret are there: the workers find out.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from releases.domain.errors import refuse
from releases.domain.kubernetes_syntax import (
    image_problem,
    name_problem,
    quantity,
    quantity_problem,
    s3_problem,
    url_problem,
)

METRIC_SOURCES = ("executor", "prometheus-executor", "prometheus-istio")
START_SECONDS = (30, 7_200)
_SMALLEST_CPU, _SMALLEST_MEMORY = Decimal("0.001"), Decimal(1024) ** 2


@dataclass(frozen=True, slots=True)
class KubernetesConnection:
    """A namespace of one cluster, where callers come in, and what the pods of a model are made of.

    `istio_gateway` is "namespace/name"; `artifacts` "s3://bucket/prefix"; amounts as Kubernetes writes them,
    an empty limit sets none; `start_seconds`: how long a model may take to be ready; `models_secret`: whose
    keys model servers find in their environment (cache, features, keys of encryption), empty: none. Raises
    `Invalid` naming the fields."""

    cluster: str
    namespace: str
    gateway_url: str
    artifacts: str
    artifacts_secret: str
    istio_gateway: str = "istio-system/seldon-gateway"
    model_image: str = ""
    cpu_request: str = "500m"
    cpu_limit: str = "2"
    memory_request: str = "1Gi"
    memory_limit: str = "2Gi"
    start_seconds: int = 600
    metrics_from: str = "executor"
    prometheus_url: str = ""
    models_secret: str = ""

    def __post_init__(self) -> None:
        refuse({**_place(self), **_pods(self)})

    @property
    def host(self) -> str:
        """The host that callers ask, without its port."""
        return urlsplit(self.gateway_url).hostname or ""

    def outside(self, hosts: Collection[str]) -> list[str]:
        """The fields whose address is of none of these hosts (".example.com": and of all below it); none when
        there are no hosts to hold them against."""
        if not hosts:
            return []
        asked = {"gateway_url": self.gateway_url, "prometheus_url": self.prometheus_url}
        return [field for field, url in asked.items() if url and not _is_among(url, hosts)]


def _is_among(url: str, hosts: Collection[str]) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".")
    return any(host == one.lstrip(".") or (one.startswith(".") and host.endswith(one)) for one in hosts)


def _place(wanted: KubernetesConnection) -> dict[str, str]:
    """Field -> what is wrong: where it is, and who counts there."""
    gateway_namespace, slash, gateway = wanted.istio_gateway.partition("/")
    found: Mapping[str, str] = {
        "cluster": "" if wanted.cluster else "has to name a cluster",
        "namespace": name_problem(wanted.namespace),
        "gateway_url": url_problem(wanted.gateway_url, ("https", "http"), with_path=False),
        "istio_gateway": ""
        if slash and not name_problem(gateway_namespace) and not name_problem(gateway)
        else "a namespace, a slash and a name, as in istio-system/seldon-gateway",
        "metrics_from": ""
        if wanted.metrics_from in METRIC_SOURCES
        else f"has to be one of {', '.join(METRIC_SOURCES)}",
        "prometheus_url": _prometheus(wanted),
    }
    return {name: wrong for name, wrong in found.items() if wrong}


def _prometheus(wanted: KubernetesConnection) -> str:
    if wanted.prometheus_url:
        return url_problem(wanted.prometheus_url, ("https", "http"))
    return "has to say where Prometheus is" if wanted.metrics_from.startswith("prometheus") else ""


def _pods(wanted: KubernetesConnection) -> dict[str, str]:
    """Field -> what is wrong: what a model's pods are made of."""
    low, high = START_SECONDS
    found = {
        "artifacts": s3_problem(wanted.artifacts),
        "artifacts_secret": name_problem(wanted.artifacts_secret),
        "models_secret": name_problem(wanted.models_secret) if wanted.models_secret else "",
        "model_image": image_problem(wanted.model_image) if wanted.model_image else "",
        "start_seconds": ""
        if low <= wanted.start_seconds <= high
        else f"has to be from {low} to {high} s, not {wanted.start_seconds}",
        **_amounts("cpu", wanted.cpu_request, wanted.cpu_limit, _SMALLEST_CPU, "500m"),
        **_amounts("memory", wanted.memory_request, wanted.memory_limit, _SMALLEST_MEMORY, "1Gi"),
    }
    return {name: wrong for name, wrong in found.items() if wrong}


def _amounts(what: str, request: str, limit: str, smallest: Decimal, example: str) -> dict[str, str]:
    """A request has to be there: without it no autoscaler can tell how much of it is used."""
    found = {
        f"{what}_request": quantity_problem(request, smallest, example),
        f"{what}_limit": quantity_problem(limit, smallest, example) if limit else "",
    }
    if limit and not any(found.values()) and (quantity(limit) or 0) < (quantity(request) or 0):
        found[f"{what}_limit"] = f"has to be at least the {request} that are requested"
    return found
