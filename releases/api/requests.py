"""What the bodies and queries of requests may be; unknown names are refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from releases.api.examples import MAPPING, RELEASE, example
from releases.api.fields import ClosedSerializer, Text
from releases.api.parsing import LARGEST_INTEGER
from releases.api.release_answers import PlanSubsetSerializer
from releases.domain.commit import NO_REPOSITORY, NO_SHA, REPOSITORY_PATTERN, SHA_PATTERN
from releases.domain.release import Phase
from releases.domain.traffic import TIERS
from releases.domain.version import Change
from tenants.models import NAME_PATTERN, SLUG
from tenants.roles import Role

LONGEST_TEXT = 4_000
LONGEST_WAIT = 60


class StrictSerializer(ClosedSerializer):
    """A form that refuses names it does not know: a typing error must not be taken for consent."""

    def to_internal_value(self, data: Any) -> Any:
        """Collect unknown names together with everything else that is wrong."""
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            said = [f"is not known here; known are: {', '.join(self.fields) or 'none'}"]
            errors = {str(name)[:60]: said for name in data if name not in self.fields}
        try:
            content = super().to_internal_value(data)
        except serializers.ValidationError as error:
            wrong = error.detail if isinstance(error.detail, Mapping) else {"non_field_errors": error.detail}
            raise serializers.ValidationError({**wrong, **errors}) from error
        if errors:
            raise serializers.ValidationError(errors)
        return content


@extend_schema_field(PlanSubsetSerializer(partial=True))
class PlanField(serializers.JSONField):
    """Any subset of a plan; the domain reads it over the environment's defaults."""


@extend_schema_field(
    {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number"},
            {"type": "string", "maxLength": 0},
        ]
    }
)
class MomentField(serializers.Field[datetime, str, datetime, str]):
    """RFC 3339 with an offset, or Unix seconds."""

    def to_internal_value(self, data: str) -> datetime:
        """The moment, in UTC."""
        text = str(data).strip().replace(" ", "+")  # an unescaped + of an offset arrives as a space
        try:
            value = parse_datetime(text) or datetime.fromtimestamp(float(text), UTC)
        except (ValueError, OverflowError, OSError):
            value = None
        if value is None or value.tzinfo is None:
            raise serializers.ValidationError("has to be an RFC 3339 time with an offset, or Unix seconds")
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise serializers.ValidationError("is out of range") from error


def _row_version() -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, max_value=LARGEST_INTEGER
    )


@example({"name": "wine", "registry_name": "wine-quality", "description": "Which cultivar a wine is of."})
class ModelForm(StrictSerializer):
    """A model to be made known."""

    name = Text(pattern=NAME_PATTERN, said=str(SLUG.message))
    registry_name = Text(max_length=200, required=False, allow_blank=True, default="")
    description = Text(max_length=LONGEST_TEXT, required=False, allow_blank=True, default="")


@example({"run_id": "3f2a9c0d7b1e4f5a8c6d2e1f0a9b8c7d", "change": "minor", "description": "more data"})
class VersionForm(StrictSerializer):
    """A run's model to be registered."""

    run_id = Text(pattern="[A-Za-z0-9_-]{1,64}")
    artifact_path = Text(max_length=250, required=False, default="model")
    change = serializers.ChoiceField([change.value for change in Change])
    description = Text(max_length=LONGEST_TEXT, required=False, allow_blank=True, default="")


class RuleForm(StrictSerializer):
    """Requests with this tier get this model; null: all tiers without a rule of their own."""

    tier = serializers.ChoiceField(TIERS, allow_null=True)
    model = Text(max_length=40)


@example(MAPPING)
class MappingForm(StrictSerializer):
    """The whole mapping of a service in an environment, at most one rule a tier; none: nothing answers."""

    rules = serializers.ListField(child=RuleForm(), max_length=len(TIERS) + 1)


class CommitForm(StrictSerializer):
    """The commit that the release was made from; it gets a status for each environment and model."""

    repository = Text(
        pattern=REPOSITORY_PATTERN,
        said=NO_REPOSITORY,
        help_text="owner/name; has to be allowed to the tenant.",
    )
    sha = Text(pattern=SHA_PATTERN, said=NO_SHA)


@example(RELEASE)
class ReleaseForm(StrictSerializer):
    """A release to be filed."""

    model = Text(max_length=40)
    version = Text(max_length=128)
    environment = Text(max_length=40)
    plan = PlanField(required=False, allow_null=True, default=None)
    note = Text(max_length=LONGEST_TEXT, required=False, allow_blank=True, default="")
    callback_url = Text(max_length=500, required=False, allow_blank=True, default="")
    commit = CommitForm(required=False, allow_null=True, default=None)


@example({"reason": "errors that the judge cannot see"})
class ReasonForm(StrictSerializer):
    """Why: it stays in the record."""

    reason = Text(max_length=LONGEST_TEXT)


@example({"reason": "the on-call engineer looked at it", "row_version": 17})
class ActForm(ReasonForm):
    """An act on a running release; with `row_version` only if it is still as the caller saw it."""

    row_version = _row_version()


@example({"comment": "metrics and signature look fine", "row_version": 4})
class DecisionForm(StrictSerializer):
    """An approver's decision."""

    comment = Text(max_length=LONGEST_TEXT, required=False, allow_blank=True, default="")
    row_version = _row_version()


@example({"comment": "trained before the fix of the labels", "row_version": 4})
class RejectionForm(StrictSerializer):
    """A refusal; the requester has to be able to act on it."""

    comment = Text(max_length=LONGEST_TEXT)
    row_version = _row_version()


@example({"name": "github", "role": "operator", "expires_at": "2030-01-01T00:00:00Z"})
class TokenForm(StrictSerializer):
    """A token to be made."""

    name = Text(pattern=r"[\w .@:/-]{1,60}")
    role = serializers.ChoiceField([role.value for role in Role])
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ReleaseQuery(StrictSerializer):
    """Which releases."""

    model = Text(required=False, allow_blank=True, max_length=40)
    environment = Text(required=False, allow_blank=True, max_length=40)
    phase = serializers.ChoiceField([phase.value for phase in Phase], required=False, allow_blank=True)
    active = serializers.ChoiceField(["true", "false"], required=False, allow_blank=True)


class AfterQuery(StrictSerializer):
    """Only what is later than a moment."""

    after = MomentField(required=False)


class AuditQuery(AfterQuery):
    """Which events."""

    action = Text(required=False, allow_blank=True, max_length=60)
    actor = Text(required=False, allow_blank=True, max_length=150)


class NoQuery(StrictSerializer):
    """Nothing but the pagination."""


class NoContent(StrictSerializer):
    """Nothing: the address says it all."""


PHASE = "(" + "|".join(phase.value for phase in Phase) + ")"


class WaitQuery(StrictSerializer):
    """What to wait for, and how long."""

    phase = Text(
        required=False,
        allow_blank=True,
        max_length=400,
        pattern=f"({PHASE}( *, *{PHASE})*)?",
        said=f"has to be phases with commas between; they are: {', '.join(Phase)}",
        help_text="Phases, separated by commas.",
    )
    timeout = serializers.IntegerField(
        required=False, default=LONGEST_WAIT, min_value=1, max_value=LONGEST_WAIT, help_text="Seconds."
    )

    def validate_phase(self, text: str) -> frozenset[Phase]:
        """The phases as a set."""
        return frozenset(Phase(word.strip()) for word in text.split(","))
