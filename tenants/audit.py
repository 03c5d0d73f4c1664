"""The audit log of a tenant: append an event, verify the chain.

Each event's hash covers its content (RFC 8785 canonical JSON) and the hash before it, so that nobody can
take one out or change one without it being seen.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import rfc8785
from django.db import connection, transaction

from tenants.models import AuditEvent, Tenant

GENESIS = "0" * 64


def chain_hash(previous_hash: str, content: Mapping[str, Any]) -> str:
    """SHA-256 over the previous hash and the canonical JSON of the content, in hex."""
    return hashlib.sha256(previous_hash.encode() + rfc8785.dumps(dict(content))).hexdigest()


def _content(event: AuditEvent) -> dict[str, Any]:
    return {
        "tenant": event.tenant_id,
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "action": event.action,
        "subject": event.subject,
        "detail": event.detail,
        "request_id": event.request_id,
    }


def record(
    tenant: Tenant,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> AuditEvent:
    """Append one event in the caller's transaction; appends of one tenant wait for each other."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit'), %s)", [tenant.pk])
        last = AuditEvent.objects.filter(tenant=tenant).order_by("-sequence").first()
        event = AuditEvent(
            tenant=tenant,
            sequence=last.sequence + 1 if last else 1,
            at=at,
            actor=actor[:150],
            action=action,
            subject=subject[:200],
            detail=dict(detail or {}),
            request_id=request_id[:64],
            previous_hash=last.hash if last else GENESIS,
        )
        event.hash = chain_hash(event.previous_hash, _content(event))
        event.save(force_insert=True)
    return event


def first_broken(events: Iterable[AuditEvent]) -> AuditEvent | None:
    """The first event, oldest first, at which the chain does not hold; None when it is whole."""
    previous, sequence = GENESIS, 0
    for event in events:
        expected = chain_hash(previous, _content(event))
        if (event.sequence, event.previous_hash, event.hash) != (sequence + 1, previous, expected):
            return event
        previous, sequence = event.hash, event.sequence
    return None
