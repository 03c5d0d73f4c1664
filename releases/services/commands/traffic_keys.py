"""The keys with which a tenant's callers come in at the local gateway: another one, and the end of one."""

from datetime import datetime

from releases.domain.errors import Conflict, NotFound
from releases.services.commands.acting import checked_reason
from tenants import traffic_keys
from tenants.access import Actor
from tenants.models import TrafficKey
from tenants.roles import Capability

MOST_LIVING = 5


def make_traffic_key(actor: Actor, *, at: datetime) -> TrafficKey:
    """Another key beside those that live; the gateway knows it by the next sweep."""
    actor.require(Capability.ADMINISTER)
    living = TrafficKey.objects.filter(tenant=actor.tenant, retired_at__isnull=True).count()
    if living >= MOST_LIVING:
        raise Conflict(f"{living} keys live already; retire one that nobody uses first.", code="too_many")
    return traffic_keys.make(actor.tenant, by=actor.name, at=at, request_id=actor.request_id)


def retire_traffic_key(actor: Actor, sequence: int, *, reason: str, at: datetime) -> TrafficKey:
    """The key opens nothing any more as soon as the gateway has followed; never the last one."""
    actor.require(Capability.ADMINISTER)
    reason = checked_reason(reason)
    if not TrafficKey.objects.filter(tenant=actor.tenant, sequence=sequence).exists():
        raise NotFound(f"There is no traffic key {sequence}.")
    try:
        return traffic_keys.retire(
            actor.tenant,
            sequence,
            reason=reason,
            by=actor.name,
            at=at,
            request_id=actor.request_id,
        )
    except traffic_keys.NotPossible as error:
        raise Conflict(str(error), code="key_needed") from error
