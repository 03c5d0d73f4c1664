"""The shapes of environments, endpoints and services: policies, what serves, and which caller gets it.

As in `release_answers`, the serializers only document what `services.document` describes, and `errors` is
what the API calls a field.
"""

from rest_framework import serializers

from releases.api.fields import Fields
from releases.api.release_answers import PlanSerializer, SplitSerializer
from releases.domain.connection import METRIC_SOURCES
from releases.domain.traffic import TIERS


class FindingSerializer(Fields):
    """One thing that a connection needs."""

    name = serializers.CharField()
    is_good = serializers.BooleanField()
    said = serializers.CharField()


class KubernetesSerializer(Fields):
    """The connection to a cluster, and what the workers last saw there; secrets are named, never told."""

    cluster = serializers.CharField()
    namespace = serializers.CharField()
    gateway_url = serializers.URLField()
    istio_gateway = serializers.CharField()
    artifacts = serializers.CharField()
    artifacts_secret = serializers.CharField(help_text="The secret's name.")
    models_secret = serializers.CharField(
        help_text="The secret whose keys model servers find in their environment; empty: none."
    )
    model_image = serializers.CharField()
    cpu_request = serializers.CharField()
    cpu_limit = serializers.CharField()
    memory_request = serializers.CharField()
    memory_limit = serializers.CharField()
    start_seconds = serializers.IntegerField()
    metrics_from = serializers.ChoiceField(METRIC_SOURCES)
    prometheus_url = serializers.CharField()
    drift = serializers.ListField(
        child=serializers.CharField(), help_text="What is not in the cluster as it is wanted here."
    )
    looked_at = serializers.DateTimeField(allow_null=True)
    findings = FindingSerializer(many=True, help_text="Of the last examination of the connection.")
    examined_at = serializers.DateTimeField(allow_null=True)


class ScalingSerializer(Fields):
    """A HorizontalPodAutoscaler in plain words; null: the metric is left out."""

    min_replicas = serializers.IntegerField()
    max_replicas = serializers.IntegerField()
    cpu_percent = serializers.IntegerField(allow_null=True)
    requests_per_second = serializers.IntegerField(allow_null=True)
    queue = serializers.CharField()
    queue_depth = serializers.IntegerField(allow_null=True)
    scale_down_window_seconds = serializers.IntegerField()
    scale_down_percent = serializers.IntegerField()
    scale_down_period_seconds = serializers.IntegerField()
    scale_up_window_seconds = serializers.IntegerField()
    scale_up_percent = serializers.IntegerField()
    scale_up_pods = serializers.IntegerField()
    scale_up_period_seconds = serializers.IntegerField()


class AutoscalingSerializer(Fields):
    """What models get, and those that have a policy of their own."""

    default = ScalingSerializer()
    models = serializers.DictField(child=ScalingSerializer())


class NetworkRulesSerializer(Fields):
    """A NetworkPolicy: labels as key=value, ports of TCP."""

    models = serializers.CharField()
    callers = serializers.CharField()
    models_port = serializers.IntegerField()
    registry = serializers.CharField()
    registry_port = serializers.IntegerField()
    storage = serializers.CharField()
    storage_port = serializers.IntegerField()
    dns = serializers.CharField()


class CallersSerializer(Fields):
    """How callers prove which tenant they are; nothing set: the header is believed."""

    issuer = serializers.CharField()
    jwks_uri = serializers.CharField()
    claim = serializers.CharField()
    audiences = serializers.ListField(child=serializers.CharField())
    namespaces = serializers.ListField(child=serializers.CharField())
    principals = serializers.ListField(child=serializers.CharField())
    portal = serializers.CharField()


class NetworkSerializer(Fields):
    """Who may talk to the models; `policy` null: the namespace is open."""

    policy = NetworkRulesSerializer(allow_null=True)
    callers = CallersSerializer()


class EnvironmentSerializer(Fields):
    """The policy of an environment and where it serves; never secrets.

    `kubernetes`, `autoscaling` and `network` are null where it serves on the portal's own machine."""

    name = serializers.CharField()
    position = serializers.IntegerField()
    target = serializers.CharField()
    gateway = serializers.URLField()
    approvals_required = serializers.IntegerField()
    approval_ttl_seconds = serializers.IntegerField()
    requires_success_in = serializers.CharField(allow_null=True)
    metric_tolerance = serializers.FloatField()
    default_plan = PlanSerializer()
    kubernetes = KubernetesSerializer(allow_null=True)
    autoscaling = AutoscalingSerializer(allow_null=True)
    network = NetworkSerializer(allow_null=True)


class HoldSerializer(Fields):
    """Why a version may not be released here."""

    version = serializers.CharField()
    reason = serializers.CharField()
    placed_at = serializers.DateTimeField()
    placed_by = serializers.CharField()
    release = serializers.CharField()


class SelfTestSerializer(Fields):
    """Stable against itself. Above 1.2 a dispersion (`phi`) means bursts, if chance cannot explain it;
    null: too little to tell. `evidence`: the highest of one half of stable against the other."""

    pairs = serializers.IntegerField()
    phi_errors = serializers.FloatField(allow_null=True)
    phi_latency = serializers.FloatField(allow_null=True)
    evidence = serializers.FloatField()
    warns = serializers.BooleanField()
    sentence = serializers.CharField()


class BaselineSerializer(Fields):
    """What stable did in the `seconds` before `at`, at most the last ten minutes or so."""

    at = serializers.DateTimeField()
    seconds = serializers.FloatField()
    requests_per_second = serializers.FloatField()
    error_rate = serializers.FloatField()
    requests = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]  # Serializer has such a property
    self_test = SelfTestSerializer(allow_null=True)


class EndpointSerializer(Fields):
    """What serves a model in an environment; callers POST to `url` + "/infer" with `headers`."""

    environment = serializers.CharField()
    model = serializers.CharField()
    stable = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    candidate = serializers.CharField(allow_null=True)
    split = SplitSerializer()
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField())
    hold = HoldSerializer(allow_null=True)
    baseline = BaselineSerializer(allow_null=True, help_text="Null: no traffic seen yet, or not any more.")


class RuleSerializer(Fields):
    """Requests with this tier get this model; null: all tiers without a rule of their own."""

    tier = serializers.ChoiceField(TIERS, allow_null=True)
    model = serializers.CharField()


class MappingSerializer(Fields):
    """Which model answers which caller of a service in an environment; the default comes first.

    Callers POST to `url` + "/infer" with `headers` and what proves that they are this tenant's: a traffic key
    or a token, which is never told here. `customer-tier` besides picks a rule."""

    service = serializers.CharField()
    environment = serializers.CharField()
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField())
    rules = RuleSerializer(many=True)
    unserved = serializers.ListField(
        child=serializers.CharField(), help_text="Models of the rules of which no version serves here yet."
    )


class ServiceSerializer(Fields):
    """A public name that callers use, with its mapping in every environment, in the order of release."""

    name = serializers.CharField()
    created_at = serializers.DateTimeField()
    mappings = MappingSerializer(many=True)
