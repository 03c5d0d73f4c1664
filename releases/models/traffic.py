"""Services: a tenant's public names, and which model answers which caller."""

from django.db import models

from releases.domain.traffic import TIERS, TrafficRule
from releases.models.catalog import RegisteredModel
from releases.models.places import Environment
from tenants.models import SLUG, Tenant


class Service(models.Model):
    """A public name that callers use; the header `tenant` says whose."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="services")
    name = models.CharField(max_length=40, validators=[SLUG])
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="service_name_once")]

    def __str__(self) -> str:
        return self.name


class ServiceRule(models.Model):
    """One cell of the mapping: service x environment x tier -> model. Without a tier: the default."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    service = models.ForeignKey(Service, models.CASCADE, related_name="rules")
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="service_rules")
    tier = models.CharField(max_length=20, null=True, choices=[(tier, tier) for tier in TIERS])  # noqa: DJ001
    model = models.ForeignKey(RegisteredModel, models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["service", "environment", "tier"], name="rule_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.tier or 'default'} -> {self.model}"

    def value(self) -> TrafficRule:
        """The rule as a value."""
        return TrafficRule(self.tier, self.model.name)
