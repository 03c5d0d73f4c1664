"""API tokens: made, looked up by hash, revoked. The text exists only in the answer to its creation."""

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from tenants import audit
from tenants.models import ApiToken, Tenant
from tenants.roles import Role

PREFIX = "mlp_"
USE_IS_NOTED_EVERY = timedelta(minutes=1)


class TokenNameTaken(Exception):
    """The tenant has a living token of that name."""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def create(
    tenant: Tenant,
    *,
    name: str,
    role: Role,
    created_by: str,
    at: datetime,
    expires_at: datetime | None = None,
    request_id: str = "",
) -> tuple[ApiToken, str]:
    """Make a token; returns its row and its text, which is never to be had again."""
    text = PREFIX + secrets.token_urlsafe(32)
    try:
        with transaction.atomic():
            token = ApiToken.objects.create(
                tenant=tenant,
                name=name,
                role=role.value,
                prefix=text[: len(PREFIX) + 6],
                hash=_hash(text),
                created_by=created_by,
                expires_at=expires_at,
            )
            audit.record(
                tenant,
                at=at,
                actor=created_by,
                action="token.created",
                subject=name,
                detail={"role": role.value, "prefix": token.prefix},
                request_id=request_id,
            )
    except IntegrityError as error:
        raise TokenNameTaken(f"There is a token named {name} already; revoke it first.") from error
    return token, text


def find(text: str, *, at: datetime) -> ApiToken | None:
    """The living token with this text; notes its use at most once a minute."""
    if not text.startswith(PREFIX) or len(text) > 200:
        return None
    token = (
        ApiToken.objects.select_related("tenant")
        .filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=at),
            hash=_hash(text),
            revoked_at__isnull=True,
        )
        .first()
    )
    if token and (token.last_used_at is None or at - token.last_used_at > USE_IS_NOTED_EVERY):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=at)
    return token


def revoke(token: ApiToken, *, by: str, at: datetime, request_id: str = "") -> None:
    """End a token for good; repeatable."""
    with transaction.atomic():
        if ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=at):
            audit.record(
                token.tenant,
                at=at,
                actor=by,
                action="token.revoked",
                subject=token.name,
                detail={"prefix": token.prefix},
                request_id=request_id,
            )
