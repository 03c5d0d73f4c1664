"""Callbacks: each change of phase is told to the address of the release, in order, until it is heard."""

import hashlib
import hmac
import json
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Min

from releases.models import Delivery
from releases.ports import Message, Notifier, Refused, Unreachable
from releases.services import document
from tenants.models import Tenant

GIVE_UP_AFTER = timedelta(days=1)
LONGEST_WAIT = timedelta(minutes=30)
AT_ONCE = 20


def secret_of(tenant: Tenant) -> str:
    """The key that signs a tenant's callbacks; `manage.py callback_secret` shows it."""
    text = f"callback:{tenant.slug}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()


def deliver(notifier: Notifier, at: datetime) -> int:
    """Send what is due, for each release its oldest first; returns how many were sent."""
    waiting = Delivery.objects.filter(delivered_at__isnull=True, gave_up_at__isnull=True)
    oldest = waiting.values("release").annotate(first=Min("pk")).values_list("first", flat=True)
    sent = 0
    due = waiting.filter(pk__in=oldest, next_attempt_at__lte=at).values_list("pk", flat=True)
    for pk in list(due[:AT_ONCE]):
        sent += _deliver_one(pk, notifier, at)
    return sent


def _deliver_one(pk: int, notifier: Notifier, at: datetime) -> bool:
    with transaction.atomic():
        # The lock is held while sending (5 s at most): two workers never send the same one at once.
        row = (
            Delivery.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("transition", *(f"release__{name}" for name in document.RELATED))
            .filter(pk=pk, delivered_at__isnull=True)
            .first()
        )
        if row is None:
            return False
        told = {"phase": row.transition.to_phase, "reason": row.transition.reason}
        body = {
            "event": "release.phase",
            "release": document.of_release(row.release) | told,
            "delivered_at": document.moment(at),
        }
        row.attempts += 1
        try:
            notifier.send(
                Message(
                    url=row.release.callback_url,
                    delivery=f"{row.release_id}-{row.transition.sequence}",
                    body=json.dumps(body).encode(),
                    secret=secret_of(row.release.tenant),
                )
            )
            row.delivered_at, row.last_error = at, ""
        except Refused as error:
            row.gave_up_at, row.last_error = at, str(error)[:300]
        except Unreachable as error:
            row.last_error = str(error)[:300]
            wait = min(LONGEST_WAIT, timedelta(seconds=2.0 ** min(row.attempts, 11)))
            row.next_attempt_at = at + wait
            if at - row.transition.at > GIVE_UP_AFTER:
                row.gave_up_at = at
        row.save()
        return row.delivered_at is not None
