"""The shapes of a release: its plan, its verdict, its forecast, and itself.

`services.document` describes releases; the serializers here only document that, and the tests hold every
answer against the document. Fields named `errors` or `required` hide attributes of the framework's base
class, hence the ignored assignments: the API calls them so.
"""

from typing import Any

from rest_framework import serializers

from releases.api.fields import ClosedSerializer, Fields
from releases.domain.forecast import ForecastKind
from releases.domain.plan import BOUNDS, MAXIMUM_STEPS
from releases.domain.release import Phase
from releases.domain.verdict import RuleState, VerdictKind

VERDICT_KINDS = [kind.value for kind in VerdictKind]


def _whole(name: str, **more: Any) -> serializers.IntegerField:
    low, high, _ = BOUNDS[name]
    return serializers.IntegerField(min_value=int(low), max_value=int(high), **more)


def _number(name: str, **more: Any) -> serializers.FloatField:
    low, high, _ = BOUNDS[name]
    return serializers.FloatField(min_value=low, max_value=high, **more)


# ---- the plan and the verdict ----------------------------------------------------------------------
class StepSerializer(ClosedSerializer):
    """One rung of the canary."""

    weight = _whole("weight")
    hold_seconds = _whole("hold_seconds", required=False)
    approval = serializers.BooleanField(required=False)


class RulesSerializer(ClosedSerializer):
    """What the judge limits and compares."""

    error_rate_max = _number("error_rate_max", allow_null=True)
    latency_p95_max_ms = _number("latency_p95_max_ms", allow_null=True)
    compare_errors = serializers.BooleanField()
    compare_latency = serializers.BooleanField()
    compare_predictions = serializers.BooleanField()
    margin_errors = _number("margin_errors")
    margin_latency = _number("margin_latency")
    warm_up_seconds = _whole("warm_up_seconds")


class DeadlinesSerializer(ClosedSerializer):
    """How long a phase may last, in seconds."""

    validating = _whole("validating")
    deploying = _whole("deploying")
    smoke_testing = _whole("smoke_testing")
    unknown = _whole("unknown")


class PlanSerializer(ClosedSerializer):
    """How a release is rolled out and judged. Weights rise from step to step."""

    steps = StepSerializer(many=True, max_length=MAXIMUM_STEPS)  # type: ignore[call-arg]  # of its ListSerializer
    shadow_seconds = _whole("shadow_seconds")
    rules = RulesSerializer()
    alpha = _number("alpha")
    beta = _number("beta")
    promotion = serializers.ChoiceField(["certified", "no_harm"])
    early_promotion = serializers.BooleanField()
    on_inconclusive = serializers.ChoiceField(["wait", "rollback"])
    max_canary_seconds = _whole("max_canary_seconds")
    grace_seconds = _whole("grace_seconds")
    deadlines = DeadlinesSerializer()


class PlanSubsetSerializer(PlanSerializer):
    """Any part of a plan; what is absent comes from the environment's defaults."""

    rules = RulesSerializer(partial=True)
    deadlines = DeadlinesSerializer(partial=True)


class CountsSerializer(Fields):
    """What one arm answered, and how many of it a rule counts."""

    requests = serializers.IntegerField()
    errors = serializers.IntegerField(help_text="Those that the rule counts, see `counted`.")  # type: ignore[assignment]  # Serializer has such a property


class RuleVerdictSerializer(Fields):
    """One rule, its numbers, and why."""

    rule = serializers.CharField(
        help_text="errors_vs_stable, latency_vs_stable, predictions_vs_stable, error_rate_max, "
        "latency_p95_max."
    )
    state = serializers.ChoiceField(
        [state.value for state in RuleState],
        help_text="`flag` speaks of harm, short of its limit; `notice` is worth a look and speaks of none.",
    )
    evidence = serializers.FloatField()
    limit = serializers.FloatField()
    stable = CountsSerializer(allow_null=True)
    candidate = CountsSerializer(allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    stable_interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    counted = serializers.CharField(
        help_text='What `errors` of the arms are: "errors", "slower than 25 ms", "predicted class_2".'
    )
    explanation = serializers.CharField()


class VerdictSerializer(Fields):
    """What the judge says."""

    kind = serializers.ChoiceField(VERDICT_KINDS)
    summary = serializers.CharField()
    rules = RuleVerdictSerializer(many=True)
    harm_evidence = serializers.FloatField()
    certificate_evidence = serializers.FloatField(allow_null=True)
    seconds_to_certificate = serializers.FloatField(allow_null=True)
    driven_by = serializers.ListField(
        child=serializers.CharField(),
        help_text="The rules that a verdict of harm rests on, the strongest first; else empty.",
    )


# ---- the forecast ---------------------------------------------------------------------------------
class SpreadSerializer(Fields):
    """The middle of the simulated paths and where 10 and 90 % of them are; null where those never arrive."""

    low = serializers.FloatField(allow_null=True)
    median = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class RegressionSerializer(Fields):
    """When a candidate with this error rate would be seen; null: not within the plan's time."""

    error_rate = serializers.FloatField()
    seconds = serializers.FloatField(allow_null=True)


class ProposalSerializer(Fields):
    """A plan that could be decided with the traffic at hand."""

    change = serializers.ChoiceField(["weight", "max_canary_seconds"])
    value = serializers.IntegerField(help_text="Percent of the last step, or seconds.")
    sentence = serializers.CharField()
    plan = PlanSerializer()


class ForecastSerializer(Fields):
    """What is to be expected at the present traffic. Seconds count from the beginning of traffic, for a
    release that runs from now; waiting for people is not in them."""

    kind = serializers.ChoiceField([kind.value for kind in ForecastKind])
    decidable = serializers.BooleanField(
        allow_null=True, help_text="Certain within the plan's time on half of the simulated paths at least."
    )
    sentence = serializers.CharField()
    requests_per_second = serializers.FloatField(allow_null=True)
    error_rate = serializers.FloatField(allow_null=True)
    window_seconds = serializers.FloatField(help_text="The plan's time.")
    expected_seconds = serializers.FloatField(allow_null=True, help_text="Until the last step is left.")
    certificate_seconds = SpreadSerializer(allow_null=True)
    certified_share = serializers.FloatField(allow_null=True)
    regressions = RegressionSerializer(many=True)
    proposals = ProposalSerializer(many=True)


# ---- a release and its record ----------------------------------------------------------------------
class SplitSerializer(Fields):
    """Shares of the traffic in percent."""

    stable = serializers.IntegerField()
    candidate = serializers.IntegerField()


class GateSerializer(Fields):
    """Approvals at the gate where the release stands."""

    required = serializers.IntegerField()  # type: ignore[assignment]  # every field has such an attribute
    given = serializers.IntegerField()
    expires_at = serializers.DateTimeField(allow_null=True)


class LinksSerializer(Fields):
    """Where more is to be found."""

    page = serializers.URLField()
    evidence = serializers.URLField()


class CommitSerializer(Fields):
    """A commit whose status tells how far the release is."""

    repository = serializers.CharField(help_text="owner/name")
    sha = serializers.CharField()


class ReleaseSerializer(Fields):
    """A release."""

    id = serializers.CharField()
    url = serializers.URLField()
    model = serializers.CharField()
    version = serializers.CharField()
    environment = serializers.CharField()
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    phase = serializers.ChoiceField([phase.value for phase in Phase])
    reason = serializers.CharField()
    row_version = serializers.IntegerField()
    stable = serializers.CharField(allow_null=True)
    candidate = serializers.CharField()
    split = SplitSerializer()
    step = serializers.IntegerField()
    digest = serializers.CharField(allow_null=True)
    commit = CommitSerializer(allow_null=True)
    plan = PlanSerializer()
    approvals = GateSerializer()
    verdict = VerdictSerializer()
    forecast = ForecastSerializer(
        allow_null=True,
        required=False,
        help_text="Null once the canary is over; left out of lists and callbacks.",
    )
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    _links = LinksSerializer()
