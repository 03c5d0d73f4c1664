"""One approver's decision, bound to the plan and the digest in front of them."""

from datetime import datetime

from django.db import IntegrityError, transaction

from releases.domain.errors import Conflict, Forbidden, Invalid
from releases.domain.release import Phase
from releases.models import Approval, Release
from releases.services import find
from releases.services.commands.acting import checked_reason, lock, why_not_decide
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability


def decide_approval(
    actor: Actor,
    release_id: str,
    *,
    approve: bool,
    comment: str = "",
    at: datetime,
    row_version: int | None = None,
) -> Release:
    """Approve or reject at the gate where the release stands. A rejection needs a comment."""
    actor.require(Capability.APPROVE)
    release = find.release(actor, release_id)
    if actor.identity == release.requested_by_identity:
        raise Forbidden("You filed this release; somebody else has to decide.", code="own_release")
    if not approve and not comment.strip():
        message = "Say why, so that the requester can act on it."
        raise Invalid(message, fields={"comment": [message]})
    comment = checked_reason(comment) if comment.strip() else ""
    with transaction.atomic():
        release = lock(release, row_version)
        refusal = why_not_decide(actor, release)
        if refusal is not None:
            raise Conflict(refusal, code="not_possible_now", state={"phase": release.phase})
        gate = 0 if release.phase == Phase.AWAITING_APPROVAL else release.step
        try:
            Approval.objects.create(
                tenant=actor.tenant,
                release=release,
                gate=gate,
                approved=approve,
                by=actor.user,
                by_name=actor.name,
                by_identity=actor.identity,
                comment=comment,
                plan_digest=release.plan_digest,
                digest=release.digest,
                at=at,
            )
        except IntegrityError as error:
            raise Conflict("You have decided already.", code="decided_already") from error
        release.row_version += 1
        release.next_wake_at = at
        release.save(update_fields=["row_version", "next_wake_at"])
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="release.approved" if approve else "release.rejected",
            subject=release.pk,
            detail={"gate": gate, "comment": comment, "digest": release.digest},
            request_id=actor.request_id,
        )
    return release
