"""The shapes of replays: what a plan would have said of releases that have ended.

As in `answers`, the serializers only document what is described elsewhere.
"""

from rest_framework import serializers

from releases.api.fields import Fields
from releases.api.release_answers import VERDICT_KINDS, PlanSerializer
from releases.domain.release import Phase


class HappenedSerializer(Fields):
    """How the release really ended: when it was decided, after how many seconds of traffic, and why."""

    phase = serializers.ChoiceField([phase.value for phase in Phase])
    at = serializers.DateTimeField(allow_null=True)
    after_seconds = serializers.FloatField(allow_null=True)
    reason = serializers.CharField()


class ReplayVerdictSerializer(Fields):
    """What the plan would have said: at its first decision, or at the end of the samples."""

    kind = serializers.ChoiceField(VERDICT_KINDS)
    after_seconds = serializers.FloatField(
        allow_null=True, help_text="Of the decision; null: nothing was decided while it was sampled."
    )
    summary = serializers.CharField()
    driven_by = serializers.ListField(child=serializers.CharField())


class ReplayedReleaseSerializer(Fields):
    """One release, as it ended and as the plan would have ended it."""

    release = serializers.CharField()
    version = serializers.CharField()
    url = serializers.URLField()
    happened = HappenedSerializer()
    verdict = ReplayVerdictSerializer(allow_null=True)
    sampled_seconds = serializers.FloatField()
    note = serializers.CharField(help_text="What of it cannot be replayed; mostly empty.")


class RetrospectiveSerializer(Fields):
    """What a plan would have said of the last finished releases of an endpoint, newest first."""

    plan = PlanSerializer()
    releases = ReplayedReleaseSerializer(many=True)
    sentence = serializers.CharField()
