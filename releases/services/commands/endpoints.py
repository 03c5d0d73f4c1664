"""Acts on an endpoint between releases: go back to the previous version, lift a hold."""

from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, transaction

from releases.domain.errors import Conflict, NotFound
from releases.domain.release import ACTIVE, Phase, start
from releases.models import Endpoint, Hold, ModelVersion, Release
from releases.models.release import Kind
from releases.services import find, history
from releases.services.commands.acting import checked_reason
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability


def return_to_previous(actor: Actor, environment: str, model: str, *, reason: str, at: datetime) -> Release:
    """Give all traffic back to the version before; the one that is left goes on hold at once.

    It was validated and served here before, so it goes straight to its deployment, which is still
    warm during the grace time, and needs no approval: an operator acts in an emergency.
    """
    actor.require(Capability.OPERATE)
    reason = checked_reason(reason)
    endpoint = find.endpoint(actor, environment, model)
    with transaction.atomic():
        endpoint = (
            Endpoint.objects.select_for_update(of=("self",))
            .select_related("tenant", "environment", "model", "stable", "previous")
            .get(pk=endpoint.pk)
        )
        previous, left = _pair(endpoint)
        release = Release(
            tenant=actor.tenant,
            endpoint=endpoint,
            version=previous,
            stable=left,
            kind=Kind.RETURN,
            approvals_required=0,
            digest=previous.digest,
            note=reason,
            requested_by=actor.name,
            requested_by_identity=actor.identity,
            requested_at=at,
            next_wake_at=at,
            reason=f"going back from {left.version}: {reason}",
        )
        plan = replace(endpoint.environment.plan(), steps=(), shadow_seconds=0)
        release.plan, release.plan_digest = plan.to_json(), plan.digest
        release.set_state(replace(start(at.timestamp()), phase=Phase.DEPLOYING))
        try:
            release.save(force_insert=True)
        except IntegrityError as error:
            raise Conflict("A release is active on this endpoint; abort it instead.") from error
        history.append(release, from_phase="", reason=release.reason, actor=actor.name, at=at)
        Hold.objects.create(
            tenant=actor.tenant,
            endpoint=endpoint,
            version=left,
            release=release,
            reason=reason,
            placed_at=at,
            placed_by=actor.name,
        )
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="endpoint.returned",
            subject=endpoint.route.name,
            detail={"from": left.version, "to": previous.version, "reason": reason},
            request_id=actor.request_id,
        )
    return release


def _pair(endpoint: Endpoint) -> tuple[ModelVersion, ModelVersion]:
    """The version to go back to and the one to leave."""
    active = Release.objects.filter(endpoint=endpoint, phase__in=ACTIVE).first()
    if active is not None:
        raise Conflict(
            f"A release is active on this endpoint ({active.phase}); abort it instead.",
            code="release_active",
            state={"release": active.pk, "phase": active.phase},
        )
    if endpoint.stable is None or endpoint.previous is None:
        raise Conflict("There is no previous version to go back to.", code="no_previous")
    hold = Hold.objects.filter(endpoint=endpoint, version=endpoint.previous, lifted_at__isnull=True).first()
    if hold is not None:
        raise Conflict(f"{endpoint.previous} is on hold: {hold.reason}. Lift the hold first.", code="on_hold")
    return endpoint.previous, endpoint.stable


def lift_hold(
    actor: Actor,
    environment: str,
    model: str,
    *,
    reason: str,
    at: datetime,
    version: str | None = None,
) -> Endpoint:
    """Lift the hold on one version, by default the newest hold of the endpoint."""
    actor.require(Capability.OPERATE)
    reason = checked_reason(reason)
    endpoint = find.endpoint(actor, environment, model)
    with transaction.atomic():
        standing = (
            Hold.objects.select_for_update(of=("self",))
            .select_related("version__model")
            .filter(endpoint=endpoint, lifted_at__isnull=True)
        )
        if version is not None:
            standing = standing.filter(version__version=version)
        hold = standing.order_by("-placed_at").first()
        if hold is None:
            raise NotFound("Nothing is on hold there.")
        hold.lifted_at, hold.lifted_by, hold.lift_reason = at, actor.name, reason
        hold.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="hold.lifted",
            subject=endpoint.route.name,
            detail={"version": hold.version.version, "reason": reason},
            request_id=actor.request_id,
        )
    return endpoint
