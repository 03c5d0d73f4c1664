"""What people want to be composed: a composed version again, with a newer version of one member."""

from django.db import models

from releases.models.catalog import ModelVersion
from tenants.models import Tenant, User


class Recomposition(models.Model):
    """One intent. It waits until `ended_at` is set: then there is a `result`, or `failure` says why there is
    none. `said` tells why it is not done yet. There is one for each member version; a failed one may be asked
    for again."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    base = models.ForeignKey(ModelVersion, models.CASCADE, related_name="recompositions")
    member = models.CharField(max_length=200)
    newer = models.ForeignKey(ModelVersion, models.CASCADE, related_name="+")
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True)
    requested_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    # What was composed and is not registered yet: not composed again when the worker is killed in between.
    run_id = models.CharField(max_length=64, blank=True)
    artifact_path = models.CharField(max_length=200, blank=True)
    said = models.TextField(blank=True)
    failure = models.TextField(blank=True)
    result = models.ForeignKey(ModelVersion, models.SET_NULL, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["base", "member", "newer"], name="recomposition_once"),
        ]

    def __str__(self) -> str:
        return f"{self.base} with {self.newer}"
