"""The shapes of what is kept of a release: history, samples, checks, approvals, deliveries, evidence.

`services.document` describes them; the serializers here only document that, and the tests hold every
answer against the document. Fields named `errors` or `required` hide attributes of the framework's base
class, hence the ignored assignments: the API calls them so.
"""

from rest_framework import serializers

from releases.api.fields import Fields
from releases.domain.release import Phase
from releases.models import Channel, DeliveryState


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
    errors = serializers.FloatField(allow_null=True)  # type: ignore[assignment]  # Serializer has such a property
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
    errors = serializers.IntegerField()  # type: ignore[assignment]  # Serializer has such a property
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
