"""What the registry tells by itself: a model is to be looked at now instead of at the next poll.

The message is only a hint, and not trusted for more: what is written comes from the registry's answers.
Knows nothing of signatures and of HTTP.
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from releases.domain.errors import Conflict
from releases.models import RegisteredModel, RegistryMessage
from releases.ports import RegistryNotice


def hear(notice: RegistryNotice, window: timedelta, at: datetime) -> RegisteredModel | None:
    """Ask for a look at the model that the notice is about; None when it is about none that is known here.

    All or nothing in one transaction: a message whose effect is lost is not remembered either, so its sender
    may send it again. Raises `Conflict` for one that was taken before, also by another process just now."""
    try:
        with transaction.atomic():
            # The unique key makes the second of two at once wait for the first to be committed or lost.
            RegistryMessage.objects.create(delivery=notice.delivery, expires_at=notice.sent_at + window)
            return _ask(notice.model, at) if notice.model else None
    except IntegrityError as error:
        raise Conflict("This delivery was taken before.", code="replayed") from error


def forget(at: datetime) -> int:
    """Delete messages that are too old to be accepted again; how many there were."""
    deleted, _ = RegistryMessage.objects.filter(expires_at__lt=at).delete()
    return deleted


def _ask(name: str, at: datetime) -> RegisteredModel | None:
    model = RegisteredModel.objects.select_for_update(no_key=True).filter(registry_name=name).first()
    if model is not None:
        model.asked_at = at
        model.save(update_fields=["asked_at"])
    return model
