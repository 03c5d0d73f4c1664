"""What is kept of a release for good: checks, approvals, samples, and the history."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from releases.models.release import Release
from tenants.models import Tenant, User


class ValidationCheck(models.Model):
    """One row per check: pass, fail or skipped, and why. `stage` is validation or smoke."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    release = models.ForeignKey(Release, models.CASCADE, related_name="checks")
    stage = models.CharField(max_length=10, default="validation")
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=40)
    outcome = models.CharField(
        max_length=10, choices=[(word, word) for word in ("running", "pass", "fail", "skipped")]
    )
    reason = models.TextField(blank=True)
    detail = models.JSONField(default=dict)
    seconds = models.FloatField(default=0)
    at = models.DateTimeField()

    class Meta:
        ordering = ["stage", "position"]
        constraints = [
            models.UniqueConstraint(fields=["release", "stage", "name"], name="check_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"


class Approval(models.Model):
    """One approver's decision at one gate, bound to the plan and the digest that it was given for.

    `gate` 0 is the one before deployment, k the one after the plan's k-th stage."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    release = models.ForeignKey(Release, models.CASCADE, related_name="approvals")
    gate = models.PositiveSmallIntegerField(default=0)
    approved = models.BooleanField()
    by = models.ForeignKey(User, models.SET_NULL, null=True)
    by_name = models.CharField(max_length=150)
    by_identity = models.CharField(max_length=60)
    comment = models.TextField(blank=True)
    plan_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=71)
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["release", "gate", "by_identity"], name="approval_once"),
        ]

    def __str__(self) -> str:
        return f"{self.by_name} {'approved' if self.approved else 'rejected'} {self.release_id}"


class Sample(models.Model):
    """One reading of one arm: increments since the reading before. `missing` says why there is none."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    release = models.ForeignKey(Release, models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    arm = models.CharField(max_length=9, choices=[("stable", "stable"), ("candidate", "candidate")])
    seconds = models.FloatField()
    requests = models.PositiveIntegerField(default=0)
    client_errors = models.PositiveIntegerField(default=0)
    errors = models.PositiveIntegerField(default=0)
    latency_counts = ArrayField(models.PositiveIntegerField(), default=list)
    prediction_counts = ArrayField(models.PositiveIntegerField(), default=list)
    # What was counted beside the model, in the order of `judge.BESIDE`; its first is answers from the cache,
    # which are in none of the counts above. Empty: nothing, or nobody told.
    beside_counts = ArrayField(models.PositiveIntegerField(), default=list)
    missing = models.CharField(max_length=12, blank=True)
    split_candidate = models.PositiveSmallIntegerField()
    # Evidence after this sample (on the candidate's row): e-values, not logarithms.
    harm_evidence = models.FloatField(null=True)
    certificate_evidence = models.FloatField(null=True)
    # Of each comparison by itself; none while it is off.
    errors_evidence = models.FloatField(null=True)
    latency_evidence = models.FloatField(null=True)
    predictions_evidence = models.FloatField(null=True)

    class Meta:
        ordering = ["at", "arm"]
        constraints = [
            models.UniqueConstraint(fields=["release", "at", "arm"], name="sample_once"),
        ]

    def __str__(self) -> str:
        return f"{self.arm} at {self.at}: {self.errors}/{self.requests}"


class Transition(models.Model):
    """One line of a release's history; also the page's timeline and the outbox of callbacks.

    Append-only (a trigger forbids UPDATE and DELETE) and hash-chained within the release."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    release = models.ForeignKey(Release, models.PROTECT, related_name="transitions")
    sequence = models.PositiveIntegerField()
    at = models.DateTimeField()
    from_phase = models.CharField(max_length=20, blank=True)
    to_phase = models.CharField(max_length=20)
    step = models.PositiveSmallIntegerField()
    split_candidate = models.PositiveSmallIntegerField()
    reason = models.TextField()
    actor = models.CharField(max_length=150)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["sequence"]
        constraints = [
            models.UniqueConstraint(fields=["release", "sequence"], name="transition_sequence_once"),
        ]

    def __str__(self) -> str:
        return f"{self.from_phase} -> {self.to_phase}: {self.reason}"
