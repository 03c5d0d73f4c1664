"""The environments of a tenant: where each serves, what its policy is, and how it is with it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from releases.domain.autoscaling import Autoscaling
from releases.domain.release import ACTIVE
from releases.models import (
    AutoscalingPolicy,
    ComponentHealth,
    Endpoint,
    Environment,
    KubernetesPlace,
    RegisteredModel,
    Release,
)
from releases.models.places import TargetKind
from releases.services import find
from releases.services.queries.overview import COMPONENTS, NOT_SEEN_FOR
from releases.services.scaling import Scaling, scaling
from tenants.access import Actor
from tenants.models import AuditEvent

ENGINES = ("target", "gateway", "metrics", "workers")
REPAIRS_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine of an environment, as the workers last saw it."""

    word: str
    state: str
    detail: str
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """One environment. `place`: where on a cluster it is; None: on the portal's own machine."""

    environment: Environment
    place: KubernetesPlace | None
    serving: int
    engines: list[Engine]

    @property
    def missing(self) -> list[dict[str, object]]:
        """What the connection needs and does not have."""
        return [one for one in self.place.findings if not one["is_good"]] if self.place else []

    @property
    def look(self) -> str:
        """Its state, as a word of `templatetags.words`."""
        states = {engine.state for engine in self.engines}
        if "down" in states or self.missing:
            return "down"
        if self.place is not None and self.place.drift:
            return "drift"
        if self.place is not None and self.place.looked_at is None:
            return "unknown"
        return next((state for state in ("unknown", "degraded") if state in states), "up")

    @property
    def text(self) -> str:
        """The word for it where the usual one does not fit."""
        if self.look == "down" and self.missing:
            return "Not connected"
        if self.look == "unknown" and self.place is not None and self.place.looked_at is None:
            return "Not looked at yet"
        return ""

    @property
    def approvals(self) -> str:
        """ "2 approvals, after staging" """
        number = self.environment.approvals_required
        words = "no approval" if number == 0 else f"{number} approval{'s' if number > 1 else ''}"
        earlier = self.environment.requires_success_in
        return words if earlier is None else f"{words}, after success in {earlier.name}"

    @property
    def plan(self) -> str:
        """The default plan in words."""
        return self.environment.plan().describe()


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """How one model scales. `wanted` is its own policy or the inherited one."""

    model: RegisteredModel
    wanted: Autoscaling
    is_own: bool
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class EnvironmentPage:
    """Everything on an environment's page."""

    row: EnvironmentRow
    scaling: list[ScalingRow]
    default: Autoscaling
    is_default_own: bool
    repairs: list[AuditEvent]
    is_being_released_to: bool
    at: datetime

    @property
    def environment(self) -> Environment:
        return self.row.environment

    @property
    def place(self) -> KubernetesPlace | None:
        return self.row.place

    @property
    def is_examining(self) -> bool:
        """Whether somebody waits for the connection to be examined."""
        place = self.place
        if place is None or place.examine_asked_at is None:
            return False
        return place.examined_at is None or place.examined_at < place.examine_asked_at

    @property
    def asked_age(self) -> float | None:
        """Seconds since somebody asked for the examination that is under way."""
        asked = self.place.examine_asked_at if self.place and self.is_examining else None
        return (self.at - asked).total_seconds() if asked else None

    @property
    def examined_age(self) -> float | None:
        """Seconds since the connection was examined."""
        seen = self.place.examined_at if self.place else None
        return (self.at - seen).total_seconds() if seen else None

    @property
    def looked_age(self) -> float | None:
        """Seconds since the workers last compared what stands there with what is wanted."""
        seen = self.place.looked_at if self.place else None
        return (self.at - seen).total_seconds() if seen else None

    @property
    def why_it_stays(self) -> str:
        """Why it cannot move to another place; empty when it can."""
        if self.row.serving:
            return "something serves here"
        if self.is_being_released_to:
            return "a release to it is active"
        return ""


def environment_rows(actor: Actor, at: datetime) -> list[EnvironmentRow]:
    """All environments in the order of release, in a constant number of queries."""
    found = Environment.objects.filter(tenant=actor.tenant).select_related("requires_success_in")
    return _rows(list(found), at)


def environment_page(actor: Actor, name: str, at: datetime) -> EnvironmentPage:
    """One environment."""
    environment = find.environment(actor, name)
    row = _rows([environment], at)[0]
    policies = scaling([environment])
    repairs = AuditEvent.objects.filter(
        tenant=actor.tenant, action="environment.repaired", subject=name, at__gt=at - REPAIRS_FOR
    )
    return EnvironmentPage(
        row=row,
        scaling=_scaling_rows(environment, policies) if row.place else [],
        default=policies.default(environment),
        is_default_own=(environment.pk, None) in policies.policies,
        repairs=list(repairs.order_by("-sequence")[:3]) if row.place else [],
        is_being_released_to=Release.objects.filter(
            endpoint__environment=environment, phase__in=[phase.value for phase in ACTIVE]
        ).exists(),
        at=at,
    )


def place_of(actor: Actor, name: str) -> tuple[Environment, KubernetesPlace | None]:
    """An environment and where on a cluster it is; None: on the portal's own machine."""
    environment = find.environment(actor, name)
    related = ("tenant", "environment")
    return environment, KubernetesPlace.objects.select_related(*related).filter(
        environment=environment
    ).first()


def _rows(environments: list[Environment], at: datetime) -> list[EnvironmentRow]:
    related = ("tenant", "environment")
    places = {
        place.environment_id: place
        for place in KubernetesPlace.objects.filter(environment__in=environments).select_related(*related)
    }
    serving = dict(
        Endpoint.objects.filter(environment__in=environments, stable__isnull=False)
        .order_by()
        .values_list("environment")
        .annotate(Count("pk"))
    )
    seen = ComponentHealth.objects.filter(Q(environment__in=environments) | Q(environment=None))
    health = {(row.environment_id, row.name): row for row in seen}
    return [
        EnvironmentRow(
            environment,
            places.get(environment.pk),
            serving.get(environment.pk, 0),
            _engines(environment, health, at),
        )
        for environment in environments
    ]


def _engines(
    environment: Environment, health: dict[tuple[int | None, str], ComponentHealth], at: datetime
) -> list[Engine]:
    """Those that all share, or the environment's own; the workers are everybody's."""
    owner = None if environment.target == TargetKind.LOCAL else environment.pk
    found = []
    for name in ENGINES:
        row = health.get((None if name == "workers" else owner, name))
        if row is None:
            found.append(Engine(COMPONENTS[name], "unknown", "Nobody has looked yet.", None))
        elif at - row.seen_at > timedelta(seconds=NOT_SEEN_FOR):
            found.append(
                Engine(COMPONENTS[name], "unknown", "The workers have not reported since.", row.seen_at)
            )
        else:
            found.append(Engine(COMPONENTS[name], row.state, row.detail, row.seen_at))
    return found


def _scaling_rows(environment: Environment, policies: Scaling) -> list[ScalingRow]:
    """Models that serve here, and those that have a policy of their own."""
    endpoints = {
        endpoint.model_id: endpoint
        for endpoint in environment.endpoints.select_related("tenant", "environment", "model", "stable")
    }
    own = set(
        AutoscalingPolicy.objects.filter(environment=environment, model__isnull=False).values_list(
            "model_id", flat=True
        )
    )
    models = RegisteredModel.objects.filter(tenant=environment.tenant_id, pk__in={*endpoints, *own})
    return [
        ScalingRow(
            model,
            policies.policies.get((environment.pk, model.pk)) or policies.default(environment),
            model.pk in own,
            endpoints.get(model.pk),
        )
        for model in models.order_by("name")
    ]
