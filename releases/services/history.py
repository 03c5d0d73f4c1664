"""The history of a release: one hash-chained line per event; also the outbox of what is told outside."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from releases.models import Channel, Delivery, Release, Transition
from tenants.audit import GENESIS, chain_hash

PORTAL = "portal"


def content(line: Transition) -> dict[str, Any]:
    """What a line's hash covers."""
    return {
        "release": line.release_id,
        "sequence": line.sequence,
        "at": line.at.isoformat(),
        "from_phase": line.from_phase,
        "to_phase": line.to_phase,
        "step": line.step,
        "split_candidate": line.split_candidate,
        "reason": line.reason,
        "actor": line.actor,
    }


def append(release: Release, *, from_phase: str, reason: str, actor: str, at: datetime) -> Transition:
    """Write the next line, in the transaction that changes the release; the row's lock orders them."""
    last = Transition.objects.filter(release=release).order_by("-sequence").first()
    line = Transition(
        tenant_id=release.tenant_id,
        release=release,
        sequence=last.sequence + 1 if last else 1,
        at=at,
        from_phase=from_phase,
        to_phase=release.phase,
        step=release.step,
        split_candidate=release.split_candidate,
        reason=reason,
        actor=actor[:150],
        previous_hash=last.hash if last else GENESIS,
    )
    line.hash = chain_hash(line.previous_hash, content(line))
    line.save(force_insert=True)
    if from_phase != release.phase:
        Delivery.objects.bulk_create(
            Delivery(
                tenant_id=release.tenant_id,
                transition=line,
                release=release,
                channel=channel,
                next_attempt_at=at,
            )
            for channel, is_wanted in (
                (Channel.CALLBACK, release.callback_url),
                (Channel.COMMIT_STATUS, release.commit_repository),
            )
            if is_wanted
        )
    return line


def is_whole(lines: list[Transition]) -> bool:
    """Whether the chain of these lines, in order, has no gap and no change."""
    previous = GENESIS
    for number, line in enumerate(lines, start=1):
        expected: Mapping[str, object] = content(line)
        if line.sequence != number or line.previous_hash != previous:
            return False
        if line.hash != chain_hash(previous, expected):
            return False
        previous = line.hash
    return True


def last_reason(release: Release, phase: str) -> str:
    """Why the release went into a phase, the last time it did."""
    line = Transition.objects.filter(release=release, to_phase=phase).order_by("-sequence").first()
    return line.reason if line else ""
