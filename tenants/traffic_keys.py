"""The keys with which a tenant's callers come in: made, read, retired. Derived, so that nothing secret is
in the database; a new secret key of the portal makes them all anew."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import transaction

from tenants import audit
from tenants.models import Tenant, TrafficKey

PREFIX = "mlk_"
HEADER = "x-api-key"


class NotPossible(Exception):
    """A sentence for the person who asked: there is no such key, or nobody could come in without it."""


def text_of(slug: str, sequence: int) -> str:
    """The text of a tenant's key."""
    secret = hmac.new(settings.SECRET_KEY.encode(), f"traffic:{slug}:{sequence}".encode(), hashlib.sha256)
    return PREFIX + base64.urlsafe_b64encode(secret.digest()).decode().rstrip("=")


def keys_of(slugs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Tenant -> the texts of its living keys, newest first; one query."""
    found: dict[str, list[str]] = {slug: [] for slug in slugs}
    rows = TrafficKey.objects.filter(tenant__slug__in=found, retired_at__isnull=True).order_by("-sequence")
    for slug, sequence in rows.values_list("tenant__slug", "sequence"):
        found[slug].append(text_of(slug, sequence))
    return {slug: tuple(keys) for slug, keys in found.items()}


def make(tenant: Tenant, *, by: str, at: datetime, request_id: str = "") -> TrafficKey:
    """Another key; those before it go on opening the door until they are retired."""
    with transaction.atomic():
        Tenant.objects.select_for_update().get(pk=tenant.pk)
        last = TrafficKey.objects.filter(tenant=tenant).order_by("-sequence").first()
        key = TrafficKey.objects.create(
            tenant=tenant, sequence=last.sequence + 1 if last else 1, created_at=at, created_by=by
        )
        audit.record(
            tenant,
            at=at,
            actor=by,
            action="traffic_key.made",
            subject=f"traffic key {key.sequence}",
            request_id=request_id,
        )
    return key


def retire(
    tenant: Tenant, sequence: int, *, reason: str, by: str, at: datetime, request_id: str = ""
) -> TrafficKey:
    """From now on the key opens nothing; raises `NotPossible`, for the last living key as well."""
    with transaction.atomic():
        Tenant.objects.select_for_update().get(pk=tenant.pk)
        living = TrafficKey.objects.filter(tenant=tenant, retired_at__isnull=True)
        key = living.filter(sequence=sequence).first()
        if key is None:
            raise NotPossible(f"There is no living traffic key {sequence}.")
        if living.count() == 1:
            raise NotPossible(
                f"Traffic key {sequence} is the only one, and callers need one. Make another one first."
            )
        key.retired_at = at
        key.save(update_fields=["retired_at"])
        audit.record(
            tenant,
            at=at,
            actor=by,
            action="traffic_key.retired",
            subject=f"traffic key {sequence}",
            detail={"reason": reason},
            request_id=request_id,
        )
    return key
