"""Builds the adapters from the settings; the only place that knows which vendor is behind which port.

Only entry points (tasks, commands, views) call it: services get their ports as arguments.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

from django.conf import settings

from releases.adapters.composer.subprocess import SubprocessComposer, SubprocessComposerConfig
from releases.adapters.connection.engines import EngineConnection
from releases.adapters.connection.kubernetes import KubernetesConnection as KubernetesConnectionTest
from releases.adapters.gateway.http import HttpGateway
from releases.adapters.guard.istio import IstioGuard
from releases.adapters.guard.local import LocalGuard
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import Cluster, ClusterConfig
from releases.adapters.metrics.envoy import EnvoyMetrics, EnvoyMetricsConfig
from releases.adapters.metrics.executor import ExecutorMetrics, ExecutorMetricsConfig
from releases.adapters.metrics.local import LocalMetrics
from releases.adapters.metrics.model_servers import PredictionCounts
from releases.adapters.metrics.prometheus import PrometheusMetrics, PrometheusMetricsConfig
from releases.adapters.mirror.local import LocalMirror
from releases.adapters.mirror.s3 import S3Mirror, S3MirrorConfig
from releases.adapters.notifier.github import GitHubConfig, GitHubStatuses
from releases.adapters.notifier.webhook import WebhookConfig, WebhookNotifier
from releases.adapters.preflight.local import LocalPreflight
from releases.adapters.preflight.seldon import SeldonPreflight
from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.adapters.registry.mlflow_webhooks import MLflowWebhooks
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.adapters.router.istio import IstioRouter
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.adapters.target.mlserver_files import MARK
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.connection import KubernetesConnection
from releases.domain.errors import Invalid
from releases.models import Environment, KubernetesPlace
from releases.ports import MetricSource, Missing, Ports, RegistryWebhooks, Unreachable
from tenants import traffic_keys

# A model server that wrote byte code next to a model's code would change the artifact's digest.
MODEL_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def ports(place: str) -> Ports:
    """The ports of a place (`Environment.place`); raises on a kind of target that is not known, and on an
    environment that is gone. A place that is not set up has ports, which say so when they are used: its
    releases can be looked at and aborted like all others."""
    kind, _, number = place.partition("/")
    if kind == "local" and not number:
        return _local()
    if kind == "seldon" and number.isdecimal():
        return _seldon.ports(int(number))
    raise ValueError(f"unknown kind of serving target: {kind[:40]!r}; known are: local, seldon")


class SeldonPorts:
    """The ports of environments on Kubernetes, made anew when anything in their connection has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[int, tuple[SeldonConfig, Ports]] = {}
        self._clusters: dict[ClusterConfig, Cluster] = {}

    def ports(self, environment_id: int) -> Ports:
        """Those of one environment; raises `Environment.DoesNotExist`."""
        config = _config(environment_id)
        with self._lock:
            known = self._made.get(environment_id)
            if known is not None and known[0] == config:
                return known[1]
            self._forget()
            # One per API server and process: what it learns of a server that hangs all its places know.
            cluster = self._clusters.setdefault(config.cluster, Cluster(config.cluster))
            made = _assemble(config, cluster)
            self._made[environment_id] = config, made
            return made

    def _forget(self) -> None:
        """Places that are gone, and clusters that no place is on."""
        here = set(KubernetesPlace.objects.values_list("environment_id", flat=True))
        self._made = {key: made for key, made in self._made.items() if key in here}
        used = {config.cluster for config, _ in self._made.values()}
        self._clusters = {config: cluster for config, cluster in self._clusters.items() if config in used}


_seldon = SeldonPorts()


@dataclass(frozen=True, slots=True)
class SeldonConfig:
    """All that the ports of one environment are made of."""

    cluster: ClusterConfig
    tenant: str
    environment: str
    connection: KubernetesConnection
    pod_labels: str
    s3_endpoint: str
    pod_proxy: str


# Of an environment that has no connection: nothing is ever asked there.
NOWHERE = KubernetesConnection(
    cluster="nowhere",
    namespace="nowhere",
    gateway_url="http://nowhere.invalid",
    artifacts="s3://nowhere",
    artifacts_secret="nowhere",  # noqa: S106 - the name of none
)


def _config(environment_id: int) -> SeldonConfig:
    environment = Environment.objects.select_related("tenant", "kubernetes").get(pk=environment_id)
    place: KubernetesPlace | None = getattr(environment, "kubernetes", None)
    connection, absence = NOWHERE, ""
    if place is None:
        absence = f"nobody has said yet on which cluster and in which namespace {environment.name} is"
    else:
        try:
            connection = place.connection
        except Invalid as error:
            absence = f"the connection of {environment.name} is not valid: {error}"
    kubeconfig = settings.KUBERNETES_CLUSTERS.get(connection.cluster, "")
    return SeldonConfig(
        cluster=ClusterConfig(connection.cluster, kubeconfig, absence=absence),
        tenant=environment.tenant.slug,
        environment=environment.name,
        connection=connection,
        pod_labels=place.network_models if place else "",
        s3_endpoint=settings.ARTIFACTS_S3_ENDPOINT,
        pod_proxy=settings.KUBERNETES_POD_PROXY,
    )


def _assemble(config: SeldonConfig, cluster: Cluster) -> Ports:
    """Registry, probe, composer, gateway, notifier and statuses are those of everybody."""
    wanted, shared = config.connection, _local()
    models = SeldonPlace(
        cluster=cluster,
        namespace=wanted.namespace,
        tenant=config.tenant,
        environment=config.environment,
        artifacts=wanted.artifacts,
        artifacts_secret=wanted.artifacts_secret,
        model_image=wanted.model_image,
        models_secret=wanted.models_secret,
        cpu_request=wanted.cpu_request,
        cpu_limit=wanted.cpu_limit,
        memory_request=wanted.memory_request,
        memory_limit=wanted.memory_limit,
        start_seconds=wanted.start_seconds,
        pod_labels=config.pod_labels,
        istio_gateway=wanted.istio_gateway,
    )
    traffic = IstioPlace(
        cluster=cluster,
        namespace=wanted.namespace,
        tenant=config.tenant,
        environment=config.environment,
        gateway_url=wanted.gateway_url,
        istio_gateway=wanted.istio_gateway,
    )
    target, metrics = SeldonTarget(models), _metrics(config, cluster)
    mirror = S3Mirror(S3MirrorConfig(config.s3_endpoint, wanted.artifacts))
    asks: dict[str, Callable[[], object]] = {}
    if not cluster.config.absence:  # else there is no store that is ours to write into
        asks = {"artifact store": mirror.examine, "metrics": partial(_examine, metrics)}
    return Ports(
        registry=shared.registry,
        target=target,
        router=IstioRouter(traffic),
        metrics=metrics,
        probe=shared.probe,
        gateway=shared.gateway,
        notifier=shared.notifier,
        statuses=shared.statuses,
        mirror=mirror,
        preflight=SeldonPreflight(models, target.plan),
        guard=IstioGuard(traffic),
        connection=KubernetesConnectionTest(models, asks),
        composer=shared.composer,
    )


def _metrics(config: SeldonConfig, cluster: Cluster) -> MetricSource:
    wanted = config.connection
    if wanted.metrics_from == "executor":
        return ExecutorMetrics(ExecutorMetricsConfig(wanted.namespace, config.pod_proxy), cluster)
    series = wanted.metrics_from.removeprefix("prometheus-")
    return PrometheusMetrics(
        PrometheusMetricsConfig(wanted.prometheus_url, wanted.namespace, series), cluster
    )


def _examine(source: MetricSource) -> None:
    if source.read(["anything"])["anything"] is Missing.UNREACHABLE:
        raise Unreachable("the metric source does not answer")


def registry_webhooks() -> RegistryWebhooks:
    """What has the registry tell by itself; only the command that sets it up needs it."""
    return MLflowWebhooks(settings.MLFLOW_TRACKING_URI)


@cache
def _local() -> Ports:
    """One instance per process."""
    first, _, last = settings.MODEL_PORTS.partition("-")
    target = LocalTarget(
        LocalTargetConfig(
            supervisor_socket=settings.SUPERVISOR_SOCKET,
            var=settings.VAR,
            ports=range(int(first), int(last) + 1),
            models_python=settings.MODELS_PYTHON,
            serving=settings.BASE_DIR / "serving",
            fork_server=settings.FORK_SERVER,
            # By the mark the stack finds model servers that a killed supervisor left behind.
            environment={
                **MODEL_ENVIRONMENT,
                **settings.MODEL_PROCESS_ENVIRONMENT,
                MARK: str(settings.VAR),
            },
        )
    )
    router = EnvoyRouter(
        EnvoyRouterConfig(
            admin=settings.ENVOY_ADMIN,
            xds=settings.ENVOY_XDS,
            gateway_url=settings.GATEWAY_URL,
            keys_of=traffic_keys.keys_of,
        )
    )
    return Ports(
        registry=MLflowRegistry(MLflowConfig(settings.MLFLOW_TRACKING_URI)),
        target=target,
        router=router,
        metrics=LocalMetrics(
            EnvoyMetrics(EnvoyMetricsConfig(settings.ENVOY_ADMIN)),
            PredictionCounts(target.metrics_address),
        ),
        probe=SubprocessProbe(
            SubprocessProbeConfig(
                python=settings.MODELS_PYTHON / "python",
                root=settings.BASE_DIR,
                environment={**settings.MODEL_PROCESS_ENVIRONMENT, "FORK_SERVER": str(settings.FORK_SERVER)},
            )
        ),
        gateway=HttpGateway(),
        notifier=WebhookNotifier(WebhookConfig(settings.CALLBACK_ALLOW_PRIVATE)),
        statuses=GitHubStatuses(GitHubConfig(settings.GITHUB_API_URL, settings.GITHUB_TOKEN)),
        mirror=LocalMirror(),
        preflight=LocalPreflight(target.preview),
        guard=LocalGuard(),
        composer=SubprocessComposer(
            SubprocessComposerConfig(
                python=settings.MODELS_PYTHON / "python",
                root=settings.BASE_DIR,
                registry=settings.MLFLOW_TRACKING_URI,
                environment=settings.MODEL_PROCESS_ENVIRONMENT,
            )
        ),
        connection=EngineConnection({"model servers": target.list, "gateway": partial(router.read, [])}),
    )
