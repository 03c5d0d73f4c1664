"""Callbacks and statuses of commits: each change of phase is told, in order per release and place, until it
is heard or was not heard for a day.

Receivers are slow, dead, and of many tenants: `due` sorts what is due into lanes, two for each tenant, and
`deliver` works in one of them for a few seconds at most. So the slow receivers of one tenant take time from
that tenant only. A delivery is claimed before it is sent, by pushing its next attempt forward: two workers
do not send the same, no transaction is open while a receiver is waited for, and what a killed worker had
claimed is due again a minute later.
"""

import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import F, Min, QuerySet, Window
from django.db.models.functions import RowNumber

from releases.domain.commit import Commit
from releases.domain.errors import Invalid
from releases.models import Channel, Delivery
from releases.ports import CommitStatuses, Message, Ports, Refused, Unreachable
from releases.services import commit_statuses, document
from tenants.models import Tenant

GIVE_UP_AFTER = timedelta(days=1)
LONGEST_WAIT = timedelta(minutes=30)
CLAIM = timedelta(minutes=1)
LANES_OF_TENANT = 2
LANE_WORKS = timedelta(seconds=10)
AT_ONCE = 20  # of one receiver

Clock = Callable[[], datetime]


def secret_of(tenant: Tenant) -> str:
    """The key that signs a tenant's callbacks; `manage.py callback_secret` shows it."""
    text = f"callback:{tenant.slug}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()


def waiting() -> QuerySet[Delivery]:
    """What is neither heard nor given up."""
    return Delivery.objects.filter(delivered_at__isnull=True, gave_up_at__isnull=True)


def due(at: datetime) -> dict[str, list[int]]:
    """The deliveries to send now, by lane: of each release and channel its oldest waiting one, and first in
    each lane one for every receiver."""
    oldest = waiting().values("release", "channel").annotate(first=Min("pk")).values_list("first", flat=True)
    receiver = [F("tenant"), F("channel"), F("release__callback_url"), F("release__commit_repository")]
    place = Window(RowNumber(), partition_by=receiver, order_by=["next_attempt_at", "pk"])
    rows = waiting().filter(pk__in=oldest, next_attempt_at__lte=at).annotate(place=place)
    wanted = ("tenant_id", "channel", "release__callback_url", "release__commit_repository", "pk")
    lanes: dict[str, list[int]] = {}
    for tenant, channel, url, repository, pk in (
        rows.filter(place__lte=AT_ONCE).order_by("place", "next_attempt_at", "pk").values_list(*wanted)
    ):
        receiver_of = _host(url) if channel == Channel.CALLBACK else repository
        number = zlib.crc32(receiver_of.encode()) % LANES_OF_TENANT
        lanes.setdefault(f"{channel} of tenant {tenant}, {number}", []).append(pk)
    return lanes


def deliver(deliveries: Sequence[int], ports: Ports, clock: Clock) -> int:
    """Send these, until `LANE_WORKS` is over; returns how many were heard. A receiver that does not answer is
    not asked again in this turn."""
    until, heard, silent = clock() + LANE_WORKS, 0, set[str]()
    for pk in deliveries:
        at = clock()
        if at >= until:
            break
        row = _claim(pk, at, silent)
        if row is None:
            continue
        try:
            _send(row, ports, at)
        except Refused as error:
            _settle(row, gave_up_at=clock(), last_error=str(error)[:300])
        except Unreachable as error:
            silent.add(_receiver(row))
            _put_off(row, error, clock())
        else:
            heard += _settle(row, delivered_at=clock(), last_error="")
    return heard


def _claim(pk: int, at: datetime, silent: set[str]) -> Delivery | None:
    """The delivery, if it is still due and nobody else sends it now."""
    related = (f"release__{name}" for name in document.RELATED)
    row = waiting().select_related("transition", *related).filter(pk=pk, next_attempt_at__lte=at).first()
    if row is None or _receiver(row) in silent:
        return None
    mine = waiting().filter(pk=pk, next_attempt_at=row.next_attempt_at)
    if not mine.update(next_attempt_at=at + CLAIM, attempts=F("attempts") + 1):
        return None
    row.attempts += 1
    return row


def _receiver(row: Delivery) -> str:
    release = row.release
    return _host(release.callback_url) if row.channel == Channel.CALLBACK else release.commit_repository


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def _send(row: Delivery, ports: Ports, at: datetime) -> None:
    if row.channel == Channel.COMMIT_STATUS:
        _set_status(row, ports.statuses)
        return
    told = {"phase": row.transition.to_phase, "reason": row.transition.reason}
    body = {
        "event": "release.phase",
        "release": document.of_release(row.release) | told,
        "delivered_at": document.moment(at),
    }
    ports.notifier.send(
        Message(
            url=row.release.callback_url,
            delivery=f"{row.release_id}-{row.transition.sequence}",
            body=json.dumps(body).encode(),
            secret=secret_of(row.release.tenant),
        )
    )


def _set_status(row: Delivery, statuses: CommitStatuses) -> None:
    """The repository may have been taken from the tenant since the release was filed."""
    release = row.release
    try:
        commit_statuses.check(release.tenant, Commit(release.commit_repository, release.commit_sha))
    except Invalid as error:
        raise Refused(str(error)) from error
    statuses.set(commit_statuses.of(release, row.transition))


def _put_off(row: Delivery, error: Unreachable, at: datetime) -> None:
    """Longer each time, and at least as long as the receiver asks for."""
    back_off = min(LONGEST_WAIT, timedelta(seconds=2.0 ** min(row.attempts, 11)))
    since = row.resent_at or row.transition.at
    _settle(
        row,
        next_attempt_at=at + max(back_off, timedelta(seconds=error.retry_after)),
        gave_up_at=at if at - since > GIVE_UP_AFTER else None,
        last_error=str(error)[:300],
    )


def _settle(row: Delivery, **outcome: datetime | str | None) -> int:
    """Unless somebody has had it sent again meanwhile: then that one's outcome counts."""
    mine = waiting().filter(pk=row.pk, resent_at=row.resent_at)
    return mine.update(**outcome)
