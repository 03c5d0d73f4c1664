"""Tenants and the people in them: created, added, given a role; each change is audited.

Called from the command line of the machine, so nobody's permission is asked here.
"""

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tenants import audit, traffic_keys
from tenants.credentials import made_up_password
from tenants.models import Membership, Tenant, User
from tenants.roles import Role

# Addresses of the gateway begin with a tenant, or with this for services.
RESERVED = frozenset({"services"})


class NotPossible(Exception):
    """A sentence for the person who asked: a name is taken, unknown or malformed."""


@dataclass(frozen=True, slots=True)
class Added:
    """A member, and the password if the person was created on the way: it is not kept anywhere."""

    membership: Membership
    password: str | None


def create_tenant(slug: str, *, name: str, by: str, at: datetime) -> Tenant:
    """Create a tenant without anybody in it; raises `NotPossible`."""
    if slug in RESERVED:
        raise NotPossible(f"Tenant {slug!r}: the gateway uses this name itself.")
    tenant = Tenant(slug=slug, name=name or slug)
    try:
        tenant.full_clean()
        with transaction.atomic():
            tenant.save(force_insert=True)
            audit.record(tenant, at=at, actor=by, action="tenant.created", subject=slug)
            traffic_keys.make(tenant, by=by, at=at)
    except (ValidationError, IntegrityError) as error:
        raise NotPossible(f"Tenant {slug!r}: {_sentence(error)}") from error
    return tenant


def tenant(slug: str) -> Tenant:
    """A tenant by its slug; raises `NotPossible`."""
    found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        known = ", ".join(Tenant.objects.values_list("slug", flat=True)) or "none yet"
        raise NotPossible(f"There is no tenant {slug!r}; there is: {known}.")
    return found


def add_member(
    of: Tenant, username: str, role: Role, *, by: str, at: datetime, first_name: str = ""
) -> Added:
    """Give a person a role in a tenant, or another one; an unknown person is created with a password."""
    with transaction.atomic():
        user, password = _person(username, first_name)
        membership = Membership.objects.select_for_update().filter(tenant=of, user=user).first()
        if membership is not None and membership.role == role.value:
            return Added(membership, password)
        action = "member.added" if membership is None else "member.changed"
        before = membership.role if membership else None
        membership = membership or Membership(tenant=of, user=user)
        membership.role = role.value
        membership.save()
        audit.record(
            of,
            at=at,
            actor=by,
            action=action,
            subject=username,
            detail={"role": role.value, "before": before},
        )
    return Added(membership, password)


def _person(username: str, first_name: str) -> tuple[User, str | None]:
    known = User.objects.filter(username=username).first()
    if known is not None:
        return known, None
    password = made_up_password()
    user = User(username=username, first_name=first_name)
    user.set_password(password)
    try:
        user.full_clean()
        with transaction.atomic():
            user.save(force_insert=True)
    except (ValidationError, IntegrityError) as error:
        raise NotPossible(f"User {username!r}: {_sentence(error)}") from error
    return user, password


def _sentence(error: Exception) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else "exists already."
