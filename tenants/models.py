"""Tables of tenants, their people, their tokens and their audit log."""

from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models

from tenants.roles import Role

NAME_PATTERN = "[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
"""Of tenants, models, environments and services."""
SLUG = RegexValidator(
    rf"\A{NAME_PATTERN}\Z",
    "Lower-case letters, digits and hyphens, at most 40, no hyphen at the ends.",
)


class User(AbstractUser):
    """A person who can log in."""

    @property
    def display_name(self) -> str:
        """What pages call this person."""
        return self.get_full_name() or self.username


class Tenant(models.Model):
    """One customer or team; owns everything else."""

    slug = models.CharField(max_length=40, unique=True, validators=[SLUG])
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person in a tenant, with one role."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=[(role.value, role.value) for role in Role])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in Role]),
                name="membership_role_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant} as {self.role}"


class ApiToken(models.Model):
    """A machine's key to one tenant. Only the hash is kept; the text is shown once."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60)
    role = models.CharField(max_length=20, choices=[(role.value, role.value) for role in Role])
    prefix = models.CharField(max_length=16)
    hash = models.CharField(max_length=64, unique=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=models.Q(revoked_at__isnull=True),
                name="token_name_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class TrafficKey(models.Model):
    """A key with which a tenant's callers come in at a gateway that knows keys. Its text is derived from the
    portal's secret key (`tenants.traffic_keys`), never stored. All that are not retired open the door."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="traffic_keys")
    sequence = models.PositiveIntegerField()
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-sequence"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sequence"], name="traffic_key_once"),
        ]

    def __str__(self) -> str:
        return f"traffic key {self.sequence} of {self.tenant}"


class AuditEvent(models.Model):
    """Who did what, when. Append-only (a trigger forbids UPDATE and DELETE) and hash-chained per tenant."""

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="audit_events")
    sequence = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "sequence"], name="audit_sequence_once"),
        ]
        indexes = [models.Index(fields=["tenant", "-sequence"], name="audit_newest")]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.subject}"
