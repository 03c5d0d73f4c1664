"""Asks for a new version of a composed model, with a newer version of one of its members."""

from datetime import datetime

from django.db import transaction

from releases.domain.errors import Conflict, Invalid
from releases.models import ModelVersion, Recomposition
from releases.services import find
from releases.services.queries.composition import newer_than
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability


def compose_newer(
    actor: Actor, model: str, version: str, *, member: str, newer: str, at: datetime
) -> Recomposition:
    """Have the workers compose the version again with `newer` of that member; what was asked for already, and
    has not failed, is that same intent."""
    actor.require(Capability.REQUEST)
    base = find.version(actor, find.model(actor, model), version)
    wanted = _newer(actor, base, member, newer)
    with transaction.atomic():
        row, is_new = Recomposition.objects.select_for_update(of=("self",)).get_or_create(
            tenant=actor.tenant,
            base=base,
            member=member,
            newer=wanted,
            defaults={"requested_by": actor.user, "requested_at": at},
        )
        if not is_new and not row.failure:
            return row
        if not is_new:
            row.requested_by, row.requested_at, row.attempts = actor.user, at, 0
            row.failure, row.said, row.ended_at = "", "", None
            row.save()
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="composition.requested",
            subject=f"{base.model.name} {base.version}",
            detail={"member": member, "model": wanted.model.name, "version": wanted.version},
            request_id=actor.request_id,
        )
    return row


def _newer(actor: Actor, base: ModelVersion, member: str, newer: str) -> ModelVersion:
    """The version that is offered; raises `Conflict` when another one is by now."""
    made = base.composed_of
    inside = next((one for one in made.members if one.name == member), None) if made else None
    if inside is None:
        raise Invalid(f"{base.model.name} {base.version} has no member {member[:40]!r}.")
    rows = ModelVersion.objects.select_related("model").filter(
        tenant=actor.tenant, model__registry_name=inside.model, version__isnull=False
    )
    offered = newer_than(inside, rows)
    if offered is None or offered.version != newer:
        now = f"{offered.version} is" if offered else "none is"
        raise Conflict(
            f"{inside.model} {newer[:40]} is not the newest version above {inside.version}: {now}."
        )
    return offered
