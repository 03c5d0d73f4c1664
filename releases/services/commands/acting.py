"""What people ask of a running release: pause, resume, promote, abort.

An act is written down as intent; the reconciler takes it up in its next pass, with all it then sees.
"""

from datetime import datetime

from django.db import transaction

from releases.domain.errors import Conflict, Forbidden, Invalid
from releases.domain.release import BEFORE_TRAFFIC, TERMINAL, Act, Phase, is_possible
from releases.models import Release
from releases.services import find
from releases.services.approvals import gates, required_at
from releases.services.commands.filing import LONGEST_TEXT
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability


def act(
    actor: Actor,
    release_id: str,
    wanted: Act,
    reason: str,
    *,
    at: datetime,
    row_version: int | None = None,
) -> Release:
    """Ask for an act. Needs `operate`; who filed a release may withdraw it before traffic has moved."""
    reason = checked_reason(reason)
    release = find.release(actor, release_id)
    refusal = _refusal(actor, release, wanted)
    if refusal is not None:
        raise refusal
    with transaction.atomic():
        release = lock(release, row_version)
        if not is_possible(wanted, Phase(release.phase)):
            raise _impossible(wanted, release)
        if release.intent == Act.ABORT and wanted is not Act.ABORT:
            raise Conflict("An abort has been asked for already.", code="abort_pending")
        release.intent = wanted.value
        release.intent_reason = reason
        release.intent_by = actor.name
        release.row_version += 1
        release.next_wake_at = at
        release.save(update_fields=["intent", "intent_reason", "intent_by", "row_version", "next_wake_at"])
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action=f"release.{wanted}",
            subject=release.pk,
            detail={"reason": reason},
            request_id=actor.request_id,
        )
    return release


def allowed_acts(actor: Actor, release: Release) -> dict[str, str | None]:
    """For each button: None when this actor may press it now, otherwise a sentence why not."""
    answers: dict[str, str | None] = {}
    for wanted in Act:
        answers[wanted.value] = _why_not(actor, release, wanted)
    answers["approve"] = answers["reject"] = why_not_decide(actor, release)
    return answers


def _why_not(actor: Actor, release: Release, wanted: Act) -> str | None:
    refusal = _refusal(actor, release, wanted)
    if refusal is not None:
        return str(refusal)
    return None if is_possible(wanted, Phase(release.phase)) else str(_impossible(wanted, release))


def why_not_decide(actor: Actor, release: Release) -> str | None:
    """Why an actor may not approve or reject now; None when they may."""
    if not actor.may(Capability.APPROVE):
        return f"A {actor.role} does not approve."
    if actor.identity == release.requested_by_identity:
        return "You filed this release; somebody else has to decide."
    if release.phase in TERMINAL:
        return f"The release has ended: {release.phase}."
    gate = gates([release])[release.pk]
    at_gate = 0 if release.phase == Phase.AWAITING_APPROVAL else release.step
    if release.phase not in (Phase.AWAITING_APPROVAL, Phase.CANARY, Phase.PAUSED):
        return "Nothing waits for an approval now."
    if required_at(release, at_gate) == 0:
        return "This step needs no approval."
    decided = release.approvals.filter(gate=at_gate, by_identity=actor.identity).exists()
    if decided and not gate.is_open:
        return "You have decided already."
    return "You have decided already." if decided else None


def checked_reason(reason: str) -> str:
    """A reason that can stand in the record; raises `Invalid`."""
    text = reason.strip()
    if not text:
        raise Invalid("Give a reason: it stays in the record.", fields={"reason": ["is missing"]})
    if len(text) > LONGEST_TEXT or "\x00" in text:
        message = f"at most {LONGEST_TEXT} characters of plain text"
        raise Invalid(f"The reason may be {message}.", fields={"reason": [message]})
    return text


def lock(release: Release, row_version: int | None) -> Release:
    """The row, locked; raises `Conflict` when it is no longer at the version the caller has seen."""
    row = (
        Release.objects.select_for_update(of=("self",))
        .select_related("tenant", "endpoint__environment", "endpoint__model", "version", "stable")
        .get(pk=release.pk)
    )
    if row_version is not None and row.row_version != row_version:
        raise Conflict(
            "The release has changed since you looked at it.",
            code="row_version",
            state={"phase": row.phase, "row_version": row.row_version},
        )
    return row


def _refusal(actor: Actor, release: Release, wanted: Act) -> Forbidden | None:
    if actor.may(Capability.OPERATE):
        return None
    is_own = actor.identity == release.requested_by_identity
    if wanted is Act.ABORT and is_own and release.phase in BEFORE_TRAFFIC:
        return None
    return Forbidden(f"A {actor.role} may not {wanted} a release.")


def _impossible(wanted: Act, release: Release) -> Conflict:
    return Conflict(
        f"{wanted} is not possible while the release is {release.phase.replace('_', ' ')}.",
        code="not_possible_now",
        state={"phase": release.phase, "row_version": release.row_version},
    )
