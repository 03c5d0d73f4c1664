"""The shapes of problems, models, versions, the audit and tokens: what the OpenAPI document promises, and how
rows become JSON.

Fields named `errors` or `source` hide attributes of the framework's base class, hence the ignored
assignments: the API calls them so.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from releases.api.fields import Fields
from releases.models import ModelVersion
from tenants.roles import Role


class ProblemSerializer(Fields):
    """An error, as RFC 9457 has it."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))  # type: ignore[assignment]  # Serializer has such a property
    state = serializers.JSONField(required=False, help_text="With 409 only: what stands in the way.")


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
    source = serializers.CharField()  # type: ignore[assignment]  # every field has such an attribute
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
