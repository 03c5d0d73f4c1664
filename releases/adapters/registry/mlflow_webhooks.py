"""Has MLflow 3 send its messages to us, over its REST API.

Knows which events are of use and how MLflow keeps a webhook (by an id of its own, the secret never shown
again); must not know what is done about a message.
"""

from collections.abc import Iterator
from typing import Any

from releases.adapters.registry.mlflow_http import TrackingServer
from releases.ports import Refused, RegistryWebhook

EVENTS = (
    {"entity": "MODEL_VERSION", "action": "CREATED"},
    {"entity": "MODEL_VERSION_TAG", "action": "SET"},
    {"entity": "MODEL_VERSION_TAG", "action": "DELETED"},
    {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"},
    {"entity": "MODEL_VERSION_ALIAS", "action": "DELETED"},
)
PAGE = 100


class MLflowWebhooks:
    """Port `RegistryWebhooks` on one tracking server."""

    def __init__(self, url: str, timeout: float = 45.0) -> None:
        # A test waits until MLflow has heard the receiver out, which may take it 30 s.
        self._server = TrackingServer(url, timeout)

    def connect(self, wanted: RegistryWebhook) -> str:
        """The secret is set each time: whether it is the same cannot be asked."""
        known = self._find(wanted.name, wanted.url)
        body: dict[str, Any] = {
            "name": wanted.name,
            "url": wanted.url,
            "events": list(EVENTS),
            "secret": wanted.secret,
            "status": "ACTIVE",
        }
        if known is None:
            self._server.post("webhooks", body)
            return f"created {wanted.name}: MLflow at {self._server.host} sends to {wanted.url}"
        self._server.patch(f"webhooks/{known['webhook_id']}", body)
        before = "" if _is(known, wanted) else f" (it was {known.get('name')}, {known.get('url')})"
        return f"updated {wanted.name}: MLflow at {self._server.host} sends to {wanted.url}{before}"

    def test(self, name: str) -> str:
        """MLflow signs an example of the first event and sends it at once."""
        known = self._find(name)
        if known is None:
            raise Refused(f"MLflow at {self._server.host} has no webhook {name}")
        result = self._server.post(f"webhooks/{known['webhook_id']}/test", {}).get("result", {})
        if not result.get("success"):
            said = result.get("error_message") or f"answered {result.get('response_status')}"
            heard = f": {result['response_body']}" if result.get("response_body") else ""
            raise Refused(f"MLflow's test message to {known.get('url')} failed: {said}{heard}"[:600])
        return (
            f"{known.get('url')} answers {result.get('response_status')}: {result.get('response_body', '')}"[
                :600
            ]
        )

    def remove(self, name: str) -> bool:
        """Only the one of this name."""
        known = self._find(name)
        if known is not None:
            self._server.delete(f"webhooks/{known['webhook_id']}")
        return known is not None

    def _find(self, name: str, url: str | None = None) -> dict[str, Any] | None:
        """The one of this name, else the first that sends to this address."""
        at_the_address = None
        for webhook in self._all():
            if webhook.get("name") == name:
                return webhook
            if at_the_address is None and url is not None and webhook.get("url") == url:
                at_the_address = webhook
        return at_the_address

    def _all(self) -> Iterator[dict[str, Any]]:
        query: dict[str, str | int] = {"max_results": PAGE}
        while True:
            page = self._server.get("webhooks", **query)
            yield from page.get("webhooks", [])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]


def _is(known: dict[str, Any], wanted: RegistryWebhook) -> bool:
    return (known.get("name"), known.get("url")) == (wanted.name, wanted.url)
