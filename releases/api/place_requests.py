"""What a change of an environment may be: policy, connection, autoscaling, network. What is absent stays."""

from typing import Any

from rest_framework import serializers

from releases.api.examples import example
from releases.api.fields import Text
from releases.api.requests import PlanField, StrictSerializer
from releases.domain.connection import METRIC_SOURCES

LONGEST_LIST = 50


def _text(longest: int, **more: Any) -> Text:
    return Text(required=False, allow_blank=True, max_length=longest, **more)


def _texts(longest: int, **more: Any) -> serializers.ListField:
    inner = Text(max_length=longest)
    return serializers.ListField(child=inner, required=False, max_length=LONGEST_LIST, **more)


def _number(**more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(required=False, **more)


class KubernetesForm(StrictSerializer):
    """Any subset of a connection; the rest stays, or is the portal's default at first."""

    cluster = _text(40, help_text="A name in KUBERNETES_CLUSTERS.")
    namespace = _text(63, help_text="Has to carry the label mlops-portal.io/tenant with the tenant's slug.")
    gateway_url = _text(200, help_text="Where callers come in: the host of the portal's routes at Istio.")
    istio_gateway = _text(127, help_text="Namespace/name of Istio's Gateway.")
    artifacts = _text(200, help_text="Where artifacts are mirrored, s3://bucket/prefix.")
    artifacts_secret = _text(63, help_text="The secret in the namespace with which pods fetch them.")
    models_secret = _text(
        63, help_text="The secret whose keys model servers find in their environment; empty: none."
    )
    model_image = _text(200, help_text="Of the model server; empty: as Seldon Core is configured.")
    cpu_request = _text(20)
    cpu_limit = _text(20, help_text="Empty: none.")
    memory_request = _text(20)
    memory_limit = _text(20, help_text="Empty: none.")
    start_seconds = _number(help_text="How long a model may take to be ready.")
    metrics_from = serializers.ChoiceField(METRIC_SOURCES, required=False)
    prometheus_url = _text(200)


class ScalingForm(StrictSerializer):
    """Any subset of a policy over what is in force; null leaves a metric out."""

    min_replicas = _number()
    max_replicas = _number()
    cpu_percent = _number(allow_null=True)
    requests_per_second = _number(allow_null=True)
    queue = _text(63)
    queue_depth = _number(allow_null=True)
    scale_down_window_seconds = _number()
    scale_down_percent = _number()
    scale_down_period_seconds = _number()
    scale_up_window_seconds = _number()
    scale_up_percent = _number()
    scale_up_pods = _number()
    scale_up_period_seconds = _number()


class AutoscalingForm(StrictSerializer):
    """The environment's default, and models with a policy of their own; null takes one away."""

    default = ScalingForm(required=False, allow_null=True)
    models = serializers.DictField(child=ScalingForm(allow_null=True), required=False)


class NetworkRulesForm(StrictSerializer):
    """Any subset of the network policy."""

    models = _text(120)
    callers = _text(120)
    models_port = _number()
    registry = _text(120)
    registry_port = _number()
    storage = _text(120)
    storage_port = _number()
    dns = _text(120)


class CallersForm(StrictSerializer):
    """Any subset of how callers prove who they are."""

    issuer = _text(200)
    jwks_uri = _text(200)
    claim = _text(60)
    audiences = _texts(200)
    namespaces = _texts(63)
    principals = _texts(250)
    portal = _text(250)


class NetworkForm(StrictSerializer):
    """`policy` null leaves the namespace open."""

    policy = NetworkRulesForm(required=False, allow_null=True)
    callers = CallersForm(required=False)


@example({"approvals_required": 2, "approval_ttl_seconds": 86_400, "metric_tolerance": 0.02})
class EnvironmentForm(StrictSerializer):
    """Changes to an environment; what is absent stays. All of them are made, or none."""

    approvals_required = serializers.IntegerField(required=False, min_value=0, max_value=20)
    approval_ttl_seconds = serializers.IntegerField(required=False, min_value=60, max_value=30 * 86_400)
    requires_success_in = Text(required=False, allow_null=True, max_length=40)
    metric_tolerance = serializers.FloatField(required=False, min_value=0, max_value=1)
    default_plan = PlanField(required=False)
    kubernetes = KubernetesForm(
        required=False,
        allow_null=True,
        help_text="Connects it to a cluster; null: it serves on the portal's own machine again.",
    )
    autoscaling = AutoscalingForm(required=False, help_text="On Kubernetes only.")
    network = NetworkForm(required=False, help_text="On Kubernetes only.")
