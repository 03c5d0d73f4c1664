"""The living traffic keys of a tenant with their texts, for those who hand them out to callers."""

from dataclasses import dataclass
from datetime import datetime

from releases.models import Environment
from releases.models.places import TargetKind
from tenants import traffic_keys
from tenants.access import Actor
from tenants.models import TrafficKey
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class LivingKey:
    """One key; `may_end` unless it is the only one."""

    sequence: int
    text: str
    created_at: datetime
    created_by: str
    may_end: bool


def living_keys(actor: Actor) -> list[LivingKey]:
    """Newest first; raises `NotAllowed` for others than administrators."""
    actor.require(Capability.ADMINISTER)
    rows = list(TrafficKey.objects.filter(tenant=actor.tenant, retired_at__isnull=True))
    return [
        LivingKey(
            sequence=row.sequence,
            text=traffic_keys.text_of(actor.tenant.slug, row.sequence),
            created_at=row.created_at,
            created_by=row.created_by,
            may_end=len(rows) > 1,
        )
        for row in rows
    ]


def shown_keys(actor: Actor, environment: Environment) -> list[LivingKey] | None:
    """What the page of an environment shows of them; None when it is not for this person, or when it is not
    keys that let callers in there."""
    if not actor.may(Capability.ADMINISTER) or environment.target != TargetKind.LOCAL:
        return None
    return living_keys(actor)
