"""The shapes of environments, endpoints and services: policies, what serves, and which caller gets it.

As in `answers`, the serializers only document what `services.document` describes.
"""

from rest_framework import serializers

from releases.api.answers import Fields, PlanSerializer, SplitSerializer
from releases.domain.traffic import TIERS


class EnvironmentSerializer(Fields):
    """The policy of an environment and where it serves; never secrets."""

    name = serializers.CharField()
    position = serializers.IntegerField()
    target = serializers.CharField()
    gateway = serializers.URLField()
    approvals_required = serializers.IntegerField()
    approval_ttl_seconds = serializers.IntegerField()
    requires_success_in = serializers.CharField(allow_null=True)
    metric_tolerance = serializers.FloatField()
    default_plan = PlanSerializer()


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
    errors = serializers.IntegerField()  # type: ignore[assignment]
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

    Callers POST to `url` + "/infer" with `headers`; `customer-tier` besides picks a rule."""

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
