"""Where versions serve: environments, endpoints, deployments, and holds."""

from django.db import models

from releases.domain.plan import RolloutPlan
from releases.domain.routing import Route
from releases.models.catalog import ModelVersion, RegisteredModel
from tenants.models import SLUG, Tenant


class TargetKind(models.TextChoices):
    """What runs the models."""

    LOCAL = "local", "this machine"
    SELDON = "seldon", "Kubernetes with Seldon Core and Istio"


class Environment(models.Model):
    """A place with a policy. `target` names the kind of serving target: `local` is the one on this machine,
    which all environments share; with `seldon` the row has a `KubernetesPlace`."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="environments")
    name = models.CharField(max_length=40, validators=[SLUG])
    position = models.PositiveSmallIntegerField(default=0)
    target = models.CharField(max_length=20, choices=TargetKind.choices, default=TargetKind.LOCAL)
    approvals_required = models.PositiveSmallIntegerField(default=0)
    approval_ttl_seconds = models.PositiveIntegerField(default=24 * 3600)
    requires_success_in = models.ForeignKey("self", models.PROTECT, null=True, blank=True)
    # Offline metrics may be worse than stable's by this share of stable's value.
    metric_tolerance = models.FloatField(default=0.02)
    default_plan = models.JSONField(default=dict)

    class Meta:
        ordering = ["position", "name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="environment_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> str:
        """Which engines serve here: environments with the same place are looked at together."""
        return self.target if self.target == TargetKind.LOCAL else f"{self.target}/{self.pk}"

    def plan(self, requested: object = None) -> RolloutPlan:
        """The requested plan (any subset) over this environment's defaults; raises `Invalid`."""
        return RolloutPlan.from_json(requested, RolloutPlan.from_json(self.default_plan))


def environments_at(place: str) -> models.QuerySet[Environment]:
    """The environments with this place, the inverse of `Environment.place`."""
    target, _, number = place.partition("/")
    found = Environment.objects.filter(target=target)
    return found.filter(pk=number) if number else found


class Endpoint(models.Model):
    """What serves a model in an environment. `stable` is a pointer; promotion moves it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="endpoints")
    model = models.ForeignKey(RegisteredModel, models.CASCADE, related_name="endpoints")
    stable = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    previous = models.ForeignKey(ModelVersion, models.PROTECT, null=True, related_name="+")
    stable_since = models.DateTimeField(null=True)
    # What the watchdog last saw to be different from what was released; empty: nothing.
    drift = models.CharField(max_length=300, blank=True)
    # What stable does: its last totals and samples. Read it with `services.baseline`; a few kilobytes, so
    # whoever selects many endpoints and does not need it defers it.
    baseline = models.JSONField(default=dict)

    class Meta:
        ordering = ["environment", "model"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "model"], name="endpoint_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} in {self.environment.name}"

    @property
    def route(self) -> Route:
        """The public place, as routers know it."""
        return Route(self.tenant.slug, self.environment.name, self.model.name)


class Deployment(models.Model):
    """One immutable version deployed for one endpoint. Removed after `keep_until`, once nothing needs
    it; the row stays."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="deployments")
    version = models.ForeignKey(ModelVersion, models.PROTECT)
    ref = models.CharField(max_length=63, unique=True)
    digest = models.CharField(max_length=71)
    created_at = models.DateTimeField()
    keep_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "version", "digest"], name="deployment_once"),
        ]

    def __str__(self) -> str:
        return self.ref


class Hold(models.Model):
    """A version that may not be released to an endpoint until someone lifts this with a reason."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="holds")
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="holds")
    release = models.ForeignKey("releases.Release", models.PROTECT, related_name="holds")
    reason = models.TextField()
    placed_at = models.DateTimeField()
    placed_by = models.CharField(max_length=150)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=150, blank=True)
    lift_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-placed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "version"],
                condition=models.Q(lifted_at__isnull=True),
                name="hold_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} held on {self.endpoint}"
