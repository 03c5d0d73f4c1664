"""The shapes of answers: what the OpenAPI document promises, and how rows become JSON.

A release and its record are described by `services.document`; their serializers here only document it,
and the tests hold every answer against the document.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from releases.domain.forecast import ForecastKind
from releases.domain.plan import LONGEST_SECONDS, MAXIMUM_STEPS
from releases.domain.release import Phase
from releases.domain.verdict import RuleState, VerdictKind
from releases.models import Channel, DeliveryState, ModelVersion
from tenants.roles import Role

Fields = serializers.Serializer[Any]
VERDICT_KINDS = [kind.value for kind in VerdictKind]


class ProblemSerializer(Fields):
    """An error, as RFC 9457 has it."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))  # type: ignore[assignment]
    state = serializers.JSONField(required=False, help_text="With 409 only: what stands in the way.")


# ---- the plan and the verdict ----------------------------------------------------------------------
class ClosedSerializer(Fields):
    """An object without any other members than these."""

    closed = True


def _seconds(least: int = 0, longest: int = LONGEST_SECONDS, **more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=least, max_value=longest, **more)


class StepSerializer(ClosedSerializer):
    """One rung of the canary."""

    weight = serializers.IntegerField(min_value=1, max_value=100)
    hold_seconds = _seconds(required=False)
    approval = serializers.BooleanField(required=False)


class RulesSerializer(ClosedSerializer):
    """What the judge limits and compares."""

    error_rate_max = serializers.FloatField(allow_null=True, min_value=1e-5, max_value=0.5)
    latency_p95_max_ms = serializers.FloatField(allow_null=True, min_value=0.1, max_value=600_000)
    compare_errors = serializers.BooleanField()
    compare_latency = serializers.BooleanField()
    compare_predictions = serializers.BooleanField()
    margin_errors = serializers.FloatField(min_value=1, max_value=10)
    margin_latency = serializers.FloatField(min_value=1, max_value=10)
    warm_up_seconds = _seconds(longest=86_400)


class DeadlinesSerializer(ClosedSerializer):
    """How long a phase may last, in seconds."""

    validating = _seconds(1)
    deploying = _seconds(1)
    smoke_testing = _seconds(1)
    unknown = _seconds(1)


class PlanSerializer(ClosedSerializer):
    """How a release is rolled out and judged. Weights rise from step to step."""

    steps = StepSerializer(many=True, max_length=MAXIMUM_STEPS)  # type: ignore[call-arg]
    shadow_seconds = _seconds()
    rules = RulesSerializer()
    alpha = serializers.FloatField(min_value=1e-6, max_value=0.2)
    beta = serializers.FloatField(min_value=1e-6, max_value=0.5)
    promotion = serializers.ChoiceField(["certified", "no_harm"])
    early_promotion = serializers.BooleanField()
    on_inconclusive = serializers.ChoiceField(["wait", "rollback"])
    max_canary_seconds = _seconds()
    grace_seconds = _seconds()
    deadlines = DeadlinesSerializer()


class PlanSubsetSerializer(PlanSerializer):
    """Any part of a plan; what is absent comes from the environment's defaults."""

    rules = RulesSerializer(partial=True)
    deadlines = DeadlinesSerializer(partial=True)


class CountsSerializer(Fields):
    """What one arm answered, and how many of it a rule counts."""

    requests = serializers.IntegerField()
    errors = serializers.IntegerField(help_text="Those that the rule counts, see `counted`.")  # type: ignore[assignment]


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

    required = serializers.IntegerField()  # type: ignore[assignment]
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


class TransitionSerializer(Fields):
    """One line of a release's history; `hash` covers it and `previous_hash`."""

    sequence = serializers.IntegerField()
    at = serializers.DateTimeField()
    from_phase = serializers.CharField(allow_null=True)
    to_phase = serializers.CharField()
    step = serializers.IntegerField()
    split_candidate = serializers.IntegerField()
    reason = serializers.CharField()
    actor = serializers.CharField()
    previous_hash = serializers.CharField()
    hash = serializers.CharField()


class EvidenceSerializer(Fields):
    """E-values after a sample: against the candidate, merged over the comparisons; for its certificate; and
    of each comparison by itself, null while it is off."""

    harm = serializers.FloatField(allow_null=True)
    certificate = serializers.FloatField(allow_null=True)
    errors = serializers.FloatField(allow_null=True)  # type: ignore[assignment]
    latency = serializers.FloatField(allow_null=True)
    predictions = serializers.FloatField(allow_null=True)


class BesideSerializer(Fields):
    """What was counted beside the model: requests, but features per entity; answers from the cache are in
    none of the sample's other counts."""

    cache_hits = serializers.IntegerField()
    cache_misses = serializers.IntegerField()
    features_found = serializers.IntegerField()
    features_missing = serializers.IntegerField()
    features_stale = serializers.IntegerField()
    features_unreachable = serializers.IntegerField()
    member_failures = serializers.IntegerField()


class SampleSerializer(Fields):
    """One reading of one arm: increments since the reading before."""

    at = serializers.DateTimeField()
    arm = serializers.ChoiceField(["stable", "candidate"])
    seconds = serializers.FloatField()
    requests = serializers.IntegerField(help_text="Those that the model answered, not its cache.")
    errors = serializers.IntegerField()  # type: ignore[assignment]
    client_errors = serializers.IntegerField()
    latency_counts = serializers.ListField(
        child=serializers.IntegerField(), help_text="Per bucket; empty when no latency was told."
    )
    prediction_counts = serializers.ListField(
        child=serializers.IntegerField(), help_text="Per bin; empty when no predictions are counted."
    )
    beside = BesideSerializer(allow_null=True, help_text="Null when nothing was counted beside the model.")
    missing = serializers.CharField(allow_null=True)
    split_candidate = serializers.IntegerField()
    evidence = EvidenceSerializer(allow_null=True)


class CheckSerializer(Fields):
    """One check of the validation or of the smoke test."""

    stage = serializers.CharField()
    name = serializers.CharField()
    outcome = serializers.ChoiceField(["running", "pass", "fail", "skipped"])
    reason = serializers.CharField()
    detail = serializers.DictField()
    seconds = serializers.FloatField()
    at = serializers.DateTimeField()


class ApprovalSerializer(Fields):
    """One decision; `counts` says whether it was given for the plan and digest of today."""

    gate = serializers.IntegerField()
    decision = serializers.ChoiceField(["approved", "rejected"])
    by = serializers.CharField()
    comment = serializers.CharField()
    plan_digest = serializers.CharField()
    digest = serializers.CharField(allow_null=True)
    counts = serializers.BooleanField()
    at = serializers.DateTimeField()


class DeliverySerializer(Fields):
    """One change of phase as it is told to one receiver."""

    id = serializers.IntegerField()
    channel = serializers.ChoiceField(Channel.values)
    phase = serializers.ChoiceField([phase.value for phase in Phase])
    sequence = serializers.IntegerField(help_text="Of the transition; `X-Portal-Delivery` ends in it.")
    state = serializers.ChoiceField(DeliveryState.values)
    attempts = serializers.IntegerField(help_text="Since it was filed, or last sent again by somebody.")
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)
    gave_up_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_blank=True)


class ChainSerializer(Fields):
    """How to verify an evidence document."""

    algorithm = serializers.CharField()
    genesis = serializers.CharField()
    last = serializers.CharField()
    whole = serializers.BooleanField()
    seal = serializers.CharField()


class EvidenceDocumentSerializer(Fields):
    """Everything that is kept of a release, sealed by the chain of its history."""

    format = serializers.CharField()
    exported_at = serializers.DateTimeField()
    record = serializers.DictField()
    chain = ChainSerializer()


# ---- models ----------------------------------------------------------------------------------------
class ModelSerializer(Fields):
    """A registered model."""

    name = serializers.CharField()
    registry_name = serializers.CharField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()


class VersionSerializer(Fields):
    """A version; `version` is null while the registry's has no semantic version."""

    version = serializers.CharField(allow_null=True)
    registry_version = serializers.IntegerField()
    run_id = serializers.CharField()
    digest = serializers.CharField(allow_null=True)
    signature = serializers.DictField(allow_null=True)
    metrics = serializers.DictField(child=serializers.FloatField())
    source = serializers.CharField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField(source="registered_at")
    aliases = serializers.ListField(child=serializers.CharField())
    composition = serializers.DictField(
        allow_null=True,
        help_text="Of a composed model: members, weights, rules and blocks, as its MLmodel has them.",
    )

    def to_representation(self, version: ModelVersion) -> dict[str, Any]:
        """The digest is unknown, not empty, until the artifact has been fetched."""
        shown: Mapping[str, Any] = super().to_representation(version)
        return {**shown, "digest": version.digest or None}


# ---- administration --------------------------------------------------------------------------------
class AuditSerializer(Fields):
    """Who did what, when; `hash` covers it and `previous_hash`."""

    sequence = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    action = serializers.CharField()
    subject = serializers.CharField()
    detail = serializers.DictField()
    request_id = serializers.CharField()
    previous_hash = serializers.CharField()
    hash = serializers.CharField()


class TokenSerializer(Fields):
    """A token, without its text."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    role = serializers.ChoiceField([role.value for role in Role])
    prefix = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewTokenSerializer(TokenSerializer):
    """A token at its creation: `token` is shown this once."""

    token = serializers.CharField()
