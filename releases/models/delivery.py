"""What crosses the edge: remembered idempotency keys, messages that came in, callbacks to deliver, health
that was seen."""

from django.db import models

from releases.models.places import Environment
from releases.models.record import Transition
from releases.models.release import Release
from tenants.models import Tenant


class IdempotencyKey(models.Model):
    """One key of one caller; the same key and body answers with the same release."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    actor = models.CharField(max_length=60)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    release = models.ForeignKey(Release, models.CASCADE)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "actor", "key"], name="idempotency_key_once"),
        ]

    def __str__(self) -> str:
        return self.key


class RegistryMessage(models.Model):
    """A message of the registry that was taken: a second one with its id is a replay. Kept until its time
    stamp alone would refuse it."""

    delivery = models.CharField(max_length=100, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.delivery


class Channel(models.TextChoices):
    """Where a transition is told: at the release's callback address, or as a status of its commit."""

    CALLBACK = "callback", "callback"
    COMMIT_STATUS = "commit_status", "commit status"


class DeliveryState(models.TextChoices):
    """Whether a delivery is still to be heard."""

    WAITING = "waiting", "waiting"
    DELIVERED = "delivered", "delivered"
    GAVE_UP = "gave_up", "gave up"


class Delivery(models.Model):
    """One transition to be told in one place. `resent_at`: somebody asked for it to be sent again, and the
    time after which it is given up counts from there."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    transition = models.ForeignKey(Transition, models.CASCADE, related_name="deliveries")
    release = models.ForeignKey(Release, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=20, choices=Channel.choices, default=Channel.CALLBACK)
    attempts = models.PositiveIntegerField(default=0)
    resent_at = models.DateTimeField(null=True)
    next_attempt_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    gave_up_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["transition", "channel"], name="delivery_once_per_channel"),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(delivered_at__isnull=True, gave_up_at__isnull=True),
                name="delivery_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} of transition {self.transition_id}"

    @property
    def state(self) -> DeliveryState:
        """Where it stands."""
        if self.delivered_at is not None:
            return DeliveryState.DELIVERED
        return DeliveryState.WAITING if self.gave_up_at is None else DeliveryState.GAVE_UP


class ComponentHealth(models.Model):
    """What the workers last saw of an engine; pages read this instead of calling it.

    `environment`: the one whose own engine it is; None for the engines that all share."""

    name = models.CharField(max_length=40)
    environment = models.ForeignKey(Environment, models.CASCADE, null=True, related_name="health")
    state = models.CharField(max_length=10, choices=[(w, w) for w in ("up", "degraded", "down")])
    detail = models.CharField(max_length=300, blank=True)
    seen_at = models.DateTimeField()
    up_since = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["name", "environment"], name="health_once", nulls_distinct=False),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
