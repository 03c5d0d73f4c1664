"""Have something told again that a receiver has not heard."""

from datetime import datetime

from django.db import transaction

from releases.domain.errors import Conflict
from releases.models import Delivery, DeliveryState
from releases.services import document, find
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability


def resend(actor: Actor, release_id: str, number: int, *, at: datetime) -> Delivery:
    """Send what was given up, or what waits for its next attempt, now and for another day.

    It is the oldest again of what its release has to tell there: what comes after it waits for it, what was
    heard already is not told again. A receiver sees by the sequence that it is an old one."""
    actor.require(Capability.OPERATE)
    found = find.delivery(actor, find.release(actor, release_id), number)
    with transaction.atomic():
        row = Delivery.objects.select_for_update(of=("self",)).select_related("transition").get(pk=found.pk)
        if row.state is DeliveryState.DELIVERED:
            raise Conflict(
                "The receiver has heard this already.",
                code="delivered_already",
                state={"state": row.state, "delivered_at": document.moment(row.delivered_at)},
            )
        before = {"state": row.state, "attempts": row.attempts, "last_error": row.last_error}
        row.attempts, row.gave_up_at, row.resent_at, row.next_attempt_at = 0, None, at, at
        row.save(update_fields=["attempts", "gave_up_at", "resent_at", "next_attempt_at"])
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="delivery.resent",
            subject=row.release_id,
            detail={"channel": row.channel, "sequence": row.transition.sequence, **before},
            request_id=actor.request_id,
        )
    return row
