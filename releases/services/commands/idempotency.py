"""Idempotency keys: a caller who does not know whether a request arrived may send it again.

A key belongs to one caller; it is remembered with the hash of the content it came with, for seven days.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import rfc8785

from releases.domain.errors import Invalid
from releases.models import IdempotencyKey, Release
from releases.services import find
from tenants.access import Actor

KEPT = timedelta(days=7)


def fingerprint(content: Mapping[str, Any]) -> str:
    """The same for the same content, however its members are ordered; raises `Invalid`."""
    try:
        return hashlib.sha256(rfc8785.dumps(dict(content))).hexdigest()
    except (rfc8785.CanonicalizationError, UnicodeError, RecursionError) as error:
        raise Invalid("The request holds text or numbers that JSON cannot carry.") from error


def recall(actor: Actor, key: str | None, body_hash: str, at: datetime) -> Release | None:
    """The release that this key was used for; raises `Invalid` when that was with another content."""
    if key is None:
        return None
    if not key or len(key) > 255 or not (key.isascii() and key.isprintable()):
        message = "has to be 1 to 255 printable ASCII characters"
        raise Invalid(f"Idempotency-Key {message}", code="bad_idempotency_key")
    mine = IdempotencyKey.objects.filter(tenant=actor.tenant, actor=actor.identity, key=key)
    mine.filter(created_at__lte=at - KEPT).delete()
    row = mine.first()
    if row is None:
        return None
    if row.body_hash != body_hash:
        raise Invalid("This Idempotency-Key was used with another content.", code="idempotency_key_reused")
    return find.release(actor, row.release_id)


def remember(actor: Actor, key: str | None, body_hash: str, release: Release, at: datetime) -> None:
    """Keep the key; raises `IntegrityError` when another request with it was faster."""
    if key is not None:
        IdempotencyKey.objects.create(
            tenant=actor.tenant,
            actor=actor.identity,
            key=key,
            body_hash=body_hash,
            release=release,
            created_at=at,
        )


def forget(at: datetime) -> int:
    """Delete what is too old to be known; how many keys there were."""
    deleted, _ = IdempotencyKey.objects.filter(created_at__lte=at - KEPT).delete()
    return deleted
