"""Messages that MLflow sends to webhooks: is it really from ours, is it fresh, and what does it say.

The sender signs `<delivery id>.<timestamp>.<body>` with the shared secret: HMAC-SHA256 in base64, after the
version of the scheme, `v1`. Knows the headers and the content; must not know what is done about it.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from releases.ports import RegistryNotice

SIGNATURE, DELIVERY, TIMESTAMP = "X-MLflow-Signature", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp"
LONGEST_NAME = 200
# Whatever happens to a version. Other events (prompts, budgets, a model without versions) are no news here.
ABOUT_VERSIONS = frozenset({"model_version", "model_version_tag", "model_version_alias"})
_DELIVERY = re.compile(r"[\x21-\x7e]{1,100}")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


class NotSigned(Exception):
    """Not from our MLflow, or too old or new to be taken; the text may be told to the sender."""


class NotReadable(Exception):
    """Signed, and not what MLflow sends."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads messages signed with `secret` that were sent within `window` of now."""

    secret: str
    window: timedelta

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> RegistryNotice:
        """Raises `NotSigned` and `NotReadable`; the body is looked at only after its signature."""
        delivery, timestamp = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
        if not _DELIVERY.fullmatch(delivery) or not _TIMESTAMP.fullmatch(timestamp):
            raise NotSigned(f"The headers {DELIVERY} and {TIMESTAMP} are missing or malformed.")
        expected = signature(self.secret, delivery, timestamp, body)
        # Compared as bytes: of text, only ASCII can be compared in constant time.
        if not hmac.compare_digest(headers.get(SIGNATURE, "").encode(), expected.encode()):
            raise NotSigned(f"The header {SIGNATURE} is missing, or not made with the secret of this portal.")
        sent_at = datetime.fromtimestamp(int(timestamp), UTC)
        if abs(at - sent_at) > self.window:
            most = f"{self.window.total_seconds():.0f} s"
            raise NotSigned(f"Signed at {sent_at.isoformat()}: more than {most} from the portal's clock.")
        event, model = _content(body)
        return RegistryNotice(delivery, sent_at, event, model)


def signature(secret: str, delivery: str, timestamp: str, body: bytes) -> str:
    """The value of the header `X-MLflow-Signature`."""
    signed = b".".join((delivery.encode(), timestamp.encode(), body))
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _content(body: bytes) -> tuple[str, str]:
    """The event, and the model of which it tells something about a version; empty: none."""
    try:
        content = json.loads(body)
        entity, action, data = content["entity"], content["action"], content["data"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise NotReadable("The body has to be a JSON object with entity, action and data.") from error
    if not (isinstance(entity, str) and isinstance(action, str) and isinstance(data, Mapping)):
        raise NotReadable("entity and action have to be texts, and data an object.")
    event = f"{entity[:60]}.{action[:60]}"
    if entity not in ABOUT_VERSIONS:
        return event, ""
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise NotReadable("data.name has to be the name of a registered model.")
    # A longer one, or one with a NUL, is none that the portal could know.
    return event, name if len(name) <= LONGEST_NAME and "\0" not in name else ""
