"""Registered models and their versions: a mirror of the registry, plus what validation found out."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from releases.domain.composition import Composition
from releases.domain.composition import parse as parse_composition
from releases.domain.version import SemanticVersion
from tenants.models import SLUG, Tenant


class RegisteredModel(models.Model):
    """A model of a tenant; `registry_name` is what MLflow calls it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="models")
    name = models.CharField(max_length=40, validators=[SLUG])
    registry_name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    polled_at = models.DateTimeField(null=True)
    # The registry has told of a change, and nobody has looked since; null: somebody has.
    asked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="model_name_once"),
            models.UniqueConstraint(fields=["registry_name"], name="model_registry_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One registered version. Without the tag `semantic_version` in the registry, `version` is empty
    and `note` says why; such a version is shown but cannot be released."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    model = models.ForeignKey(RegisteredModel, models.CASCADE, related_name="versions")
    registry_version = models.PositiveIntegerField()
    version = models.CharField(max_length=128, null=True)  # noqa: DJ001 - NULL: not tagged (yet)
    major = models.PositiveIntegerField(null=True)
    minor = models.PositiveIntegerField(null=True)
    patch = models.PositiveIntegerField(null=True)
    prerelease = models.CharField(max_length=100, blank=True)
    run_id = models.CharField(max_length=64, blank=True)
    source = models.CharField(max_length=500, blank=True)
    description = models.TextField(blank=True)
    digest = models.CharField(max_length=71, blank=True)  # sha256:<64 hex>, empty until it was fetched
    size_bytes = models.PositiveBigIntegerField(null=True)
    signature = models.JSONField(null=True)
    # Of a composed model: the document of its MLmodel, which `domain.composition` reads. Null: not composed.
    composition = models.JSONField(null=True)
    metrics = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    aliases = ArrayField(models.CharField(max_length=255), default=list)
    note = models.CharField(max_length=300, blank=True)
    registered_at = models.DateTimeField()
    discovered_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-major", "-minor", "-patch", "-registry_version"]
        constraints = [
            models.UniqueConstraint(fields=["model", "registry_version"], name="version_number_once"),
            models.UniqueConstraint(fields=["model", "version"], name="version_semantic_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} {self.version or f'#{self.registry_version}'}"

    @property
    def semantic(self) -> SemanticVersion | None:
        """The version as a value."""
        return SemanticVersion.parse(self.version) if self.version else None

    @property
    def composed_of(self) -> Composition | None:
        """What a composed model is made of, as a value; None when it is not composed."""
        return parse_composition(self.composition) if self.composition else None

    def set_semantic(self, version: SemanticVersion | None) -> None:
        """Write the text and the columns that queries order by."""
        self.version = str(version) if version else None
        self.major = version.major if version else None
        self.minor = version.minor if version else None
        self.patch = version.patch if version else None
        self.prerelease = version.prerelease if version else ""
