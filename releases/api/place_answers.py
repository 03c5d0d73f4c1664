"""The shapes of environments and endpoints: policies, what serves, its hold, and what stable does.

As in `answers`, the serializers only document what `services.document` describes.
"""

from rest_framework import serializers

from releases.api.answers import Fields, PlanSerializer, SplitSerializer


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
