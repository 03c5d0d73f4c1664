"""Builds the adapters from the settings; the only place that knows which vendor is behind which port.

Only entry points (tasks, commands, views) call it: services get their ports as arguments.
"""

from functools import cache, partial

from django.conf import settings

from releases.adapters.connection.engines import EngineConnection
from releases.adapters.gateway.http import HttpGateway
from releases.adapters.guard.local import LocalGuard
from releases.adapters.metrics.envoy import EnvoyMetrics, EnvoyMetricsConfig
from releases.adapters.metrics.local import LocalMetrics
from releases.adapters.metrics.model_servers import PredictionCounts
from releases.adapters.mirror.local import LocalMirror
from releases.adapters.notifier.webhook import WebhookConfig, WebhookNotifier
from releases.adapters.preflight.local import LocalPreflight
from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.ports import Ports
from tenants import traffic_keys

# A model server that wrote byte code next to a model's code would change the artifact's digest.
MODEL_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def ports(place: str) -> Ports:
    """The ports of a place (`Environment.place`); raises on a kind of target that is not known."""
    kind, _, number = place.partition("/")
    if kind == "local" and not number:
        return _local()
    raise ValueError(f"unknown kind of serving target: {kind[:40]!r}; known are: local, seldon")


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
            # By the mark the stack finds model servers that a killed supervisor left behind.
            environment={**MODEL_ENVIRONMENT, "PORTAL_STACK": str(settings.VAR)},
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
            SubprocessProbeConfig(python=settings.MODELS_PYTHON / "python", root=settings.BASE_DIR)
        ),
        gateway=HttpGateway(),
        notifier=WebhookNotifier(WebhookConfig(settings.CALLBACK_ALLOW_PRIVATE)),
        mirror=LocalMirror(),
        preflight=LocalPreflight(target.preview),
        guard=LocalGuard(),
        connection=EngineConnection({"model servers": target.list, "gateway": partial(router.read, [])}),
    )
