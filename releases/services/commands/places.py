"""What administrators set up of an environment on Kubernetes: its connection, autoscaling, who may reach it.

The workers bring it about; here it is only checked, kept and recorded. A tenant's administrator may name any
namespace: whether it is the tenant's says a label on it, which the workers look at before they touch it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.errors import Conflict, Invalid
from releases.domain.network import Callers, NetworkRules
from releases.domain.release import ACTIVE
from releases.models import AutoscalingPolicy, Deployment, Endpoint, Environment, KubernetesPlace, Release
from releases.models.places import TargetKind
from releases.services import find
from releases.services.place_document import of_autoscaling, of_connection, of_protection
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability

# What is let go may still run for a moment: the sweep removes it after its grace time.
_LEAVING = timedelta(minutes=1)


def connect(
    actor: Actor,
    name: str,
    wanted: KubernetesConnection,
    *,
    clusters: Collection[str],
    hosts: Collection[str] = (),
    at: datetime,
) -> KubernetesPlace:
    """Connect an environment to a namespace, or change how. `clusters`: those that may be named; `hosts`:
    those that addresses may be of, because workers ask them (none given: all).

    The first connection, another cluster and another namespace are refused while anything serves."""
    actor.require(Capability.ADMINISTER)
    if wanted.cluster not in clusters:
        known = ", ".join(sorted(clusters)) or "none: whoever runs the portal has to set KUBERNETES_CLUSTERS"
        _refuse("cluster", f"there is no such cluster; known are {known}")
    for field in wanted.outside(hosts):
        _refuse(field, f"only these hosts may be asked from here: {', '.join(sorted(hosts))}")
    with transaction.atomic():
        environment, place = _locked(actor, name)
        before = place.connection if place else None
        if before is None or (before.cluster, before.namespace) != (wanted.cluster, wanted.namespace):
            _require_empty(environment, at)
        place = place or KubernetesPlace(tenant=actor.tenant, environment=environment)
        place.connect(wanted)
        place.examine_asked_at = at
        try:
            with transaction.atomic():
                place.save()
        except IntegrityError as error:
            message = "serves another environment already; a namespace serves one alone"
            raise Invalid(f"namespace: {message}", fields={"namespace": [message]}) from error
        environment.target = TargetKind.SELDON
        environment.save(update_fields=["target"])
        _audit(actor, at, "environment.connected", name, of_connection(before), of_connection(wanted))
    return place


def disconnect(actor: Actor, name: str, *, at: datetime) -> Environment:
    """Let an environment serve on the portal's own machine again; refused while anything serves."""
    actor.require(Capability.ADMINISTER)
    with transaction.atomic():
        environment, place = _locked(actor, name)
        if place is None:
            return environment
        _require_empty(environment, at)
        before = of_connection(place.connection)
        place.delete()
        environment.autoscaling.all().delete()
        environment.target = TargetKind.LOCAL
        environment.save(update_fields=["target"])
        _audit(actor, at, "environment.connected", name, before, None)
    return environment


def set_autoscaling(
    actor: Actor, name: str, model: str | None, wanted: Autoscaling | None, *, at: datetime
) -> None:
    """Say how a model (None: every model without a policy of its own) scales in an environment. None takes
    the policy away."""
    actor.require(Capability.ADMINISTER)
    with transaction.atomic():
        environment, place = _locked(actor, name)
        _require_kubernetes(environment, place)
        of = find.model(actor, model) if model is not None else None
        row = AutoscalingPolicy.objects.filter(environment=environment, model=of).first()
        before = row.value() if row else None
        if before == wanted:
            return
        if wanted is None:
            AutoscalingPolicy.objects.filter(environment=environment, model=of).delete()
        else:
            row = row or AutoscalingPolicy(tenant=actor.tenant, environment=environment, model=of)
            row.take(wanted)
            row.save()
        subject = f"{name}/{model}" if model else name
        _audit(actor, at, "autoscaling.changed", subject, of_autoscaling(before), of_autoscaling(wanted))


def set_protection(
    actor: Actor, name: str, network: NetworkRules | None, callers: Callers, *, at: datetime
) -> KubernetesPlace:
    """Say who may talk to the models of an environment, and how callers prove who they are."""
    actor.require(Capability.ADMINISTER)
    with transaction.atomic():
        environment, found = _locked(actor, name)
        place = _require_kubernetes(environment, found)
        before = of_protection(place.network_rules, place.callers)
        after = of_protection(network, callers)
        if before != after:
            place.protect(network, callers)
            place.save()
            _audit(actor, at, "protection.changed", name, before, after)
    return place


def ask_for_examination(actor: Actor, name: str, *, at: datetime) -> None:
    """Have the workers try the connection; what they find stands on the environment's page."""
    actor.require(Capability.ADMINISTER)
    environment = find.environment(actor, name)
    asked = KubernetesPlace.objects.filter(environment=environment).update(examine_asked_at=at)
    if not asked:
        raise Conflict(f"{name} serves on the portal's own machine: there is no connection to test.")


def _locked(actor: Actor, name: str) -> tuple[Environment, KubernetesPlace | None]:
    found = find.environment(actor, name)
    environment = Environment.objects.select_for_update(of=("self",)).get(pk=found.pk)
    place = KubernetesPlace.objects.select_for_update().filter(environment=environment).first()
    return environment, place


def _require_kubernetes(environment: Environment, place: KubernetesPlace | None) -> KubernetesPlace:
    if place is None or environment.target != TargetKind.SELDON:
        raise Conflict(
            f"{environment.name} serves on the portal's own machine, where nothing scales and no network "
            "policy applies: connect it to a cluster first."
        )
    return place


def _require_empty(environment: Environment, at: datetime) -> None:
    """Nothing may serve, or be about to: it would be left behind where nobody looks after it."""
    active = (
        Release.objects.filter(endpoint__environment=environment, phase__in=[p.value for p in ACTIVE])
        .select_related("endpoint__model", "version")
        .first()
    )
    if active is not None:
        what = f"{active.endpoint.model.name} {active.version.version} is being released there"
        raise Conflict(f"{environment.name} cannot move: {what}. Wait for the release's end, or abort it.")
    serving = Endpoint.objects.filter(environment=environment, stable__isnull=False).select_related("model")
    if first := serving.first():
        raise Conflict(
            f"{environment.name} cannot move: {first.model.name} serves there. Add a new environment for the "
            "new place, and release to it."
        )
    kept = Q(keep_until__isnull=True) | Q(keep_until__gt=at - _LEAVING)
    if Deployment.objects.filter(kept, endpoint__environment=environment).exists():
        raise Conflict(f"{environment.name} cannot move yet: a version is still kept warm there.")


def _refuse(field: str, message: str) -> None:
    raise Invalid(f"{field}: {message}", fields={field: [message]})


def _audit(
    actor: Actor,
    at: datetime,
    action: str,
    subject: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    audit.record(
        actor.tenant,
        at=at,
        actor=actor.name,
        action=action,
        subject=subject,
        detail={"before": before, "after": after},
        request_id=actor.request_id,
    )
