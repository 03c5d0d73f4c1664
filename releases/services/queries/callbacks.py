"""What a release tells outside, for its page: what was not heard line by line, what was heard in a sum."""

from dataclasses import dataclass
from datetime import datetime

from releases.domain.release import TERMINAL
from releases.models import Delivery, DeliveryState, Release
from releases.services import find
from tenants.access import Actor
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class Callbacks:
    """`heard` counts those that were delivered, `last_heard_at` is the newest of them."""

    release: Release
    open: tuple[Delivery, ...]
    heard: int
    last_heard_at: datetime | None
    may_resend: bool

    @property
    def is_empty(self) -> bool:
        """Whether the release tells nobody."""
        return not self.open and not self.heard

    @property
    def lives(self) -> bool:
        """Whether the panel may still change by itself."""
        if self.is_empty:
            return False
        return self.release.phase not in TERMINAL or any(
            row.state == DeliveryState.WAITING for row in self.open
        )

    @property
    def summary(self) -> str:
        """ "7 heard, 1 waiting, 1 given up" """
        states = [row.state for row in self.open]
        counted = (
            (self.heard, "heard"),
            (states.count(DeliveryState.WAITING), "waiting"),
            (states.count(DeliveryState.GAVE_UP), "given up"),
        )
        return ", ".join(f"{number} {word}" for number, word in counted if number)


def callbacks_of(actor: Actor, release: Release) -> Callbacks:
    """One query, whatever there is."""
    rows = Delivery.objects.filter(release=release).select_related("transition").order_by("pk")
    every = tuple(rows)
    heard = [row.delivered_at for row in every if row.delivered_at is not None]
    return Callbacks(
        release=release,
        open=tuple(row for row in every if row.delivered_at is None),
        heard=len(heard),
        last_heard_at=max(heard, default=None),
        may_resend=actor.may(Capability.OPERATE),
    )


def callbacks(actor: Actor, release_id: str) -> Callbacks:
    """Of one release; `NotFound` when there is none in the actor's tenant."""
    return callbacks_of(actor, find.release(actor, release_id))
