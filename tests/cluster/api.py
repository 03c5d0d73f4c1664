"""An API server as its administrator: what the stand-ins and the tests ask of it.

The portal has a client of its own (`releases.adapters.kubernetes_api`), which is what the tests test;
this one must not share more with it than the names of the kinds.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from kubernetes import client as vendor
from kubernetes import config

from releases.adapters.kubernetes_api import (
    AUTOSCALER,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    NAMESPACE,
    POD,
    SELDON_DEPLOYMENT,
    VIRTUAL_SERVICE,
    Kind,
    Manifest,
)

__all__ = ["AUTOSCALER", "DEPLOYMENT", "ENDPOINT_SLICE", "NAMESPACE", "POD"]
__all__ += ["SELDON_DEPLOYMENT", "VIRTUAL_SERVICE"]

SERVICE = Kind("v1", "Service", "services")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
EVENT = Kind("v1", "Event", "events")
QUOTA = Kind("v1", "ResourceQuota", "resourcequotas")
DESTINATION_RULE = Kind("networking.istio.io/v1", "DestinationRule", "destinationrules")
DEFINITION = Kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", is_namespaced=False
)
WEBHOOK = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    is_namespaced=False,
)
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", is_namespaced=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", is_namespaced=False
)

Found = TypeVar("Found")
JsonPatch = list[Mapping[str, Any]]
PATIENCE = 30.0
WATCHED = 30  # seconds of one watch
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class ApiError(Exception):
    """The API server said no; `content` is the `Status` that it answered."""

    def __init__(self, status: int, content: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {content.get('message', '')}")
        self.status = status
        self.content = content


class Api:
    """The calls that the tests need; errors are `ApiError`, or urllib3's when nobody answers."""

    def __init__(self, kubeconfig: Path, seconds: float = 10.0) -> None:
        configuration = vendor.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        configuration.retries = False
        self._client = vendor.ApiClient(configuration)
        self._seconds = seconds
        # Once: the client reads the environment for it, which pytest changes while threads are calling.
        self._who: dict[str, str] = {}
        self._client.update_params_for_auth(self._who, [], ["BearerToken"], "/", "GET", None)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """One object; None when there is none."""
        try:
            return self.call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str | None = None, labels: str = "") -> list[Manifest]:
        """All objects of a kind, in one namespace or in all."""
        query = {"labelSelector": labels} if labels else {}
        return list(self.call("GET", kind.path(namespace), **query)["items"])

    def create(self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None) -> Manifest:
        """POST; refused when it exists."""
        return self.call("POST", kind.path(namespace), body)

    def replace(self, kind: Kind, body: Mapping[str, Any], subresource: str = "") -> Manifest:
        """PUT of an object that was read before; `Conflict` (409) when it has changed since."""
        return self.call("PUT", _path(kind, body["metadata"], subresource), body)

    def edit(
        self, kind: Kind, name: str, namespace: str | None, change: Callable[[Manifest], None]
    ) -> Manifest:
        """As a person does by `kubectl edit`: once more when somebody was faster."""
        while True:
            found = self.get(kind, name, namespace)
            assert found is not None
            change(found)
            try:
                return self.replace(kind, found)
            except ApiError as error:
                if error.status != 409:
                    raise

    def apply(self, kind: Kind, body: Mapping[str, Any], manager: str) -> Manifest:
        """Server-side apply that takes what it wants."""
        query = {"fieldManager": manager, "force": "true"}
        return self.call("PATCH", _path(kind, body["metadata"]), body, APPLY, **query)

    def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: Mapping[str, Any] | JsonPatch,
        subresource: str = "",
    ) -> Manifest:
        """A merge patch, or a JSON patch when `body` is a list."""
        content_type = "application/json-patch+json" if isinstance(body, list) else MERGE
        path = _path(kind, {"name": name, "namespace": namespace}, subresource)
        return self.call("PATCH", path, body, content_type)

    def delete(self, kind: Kind, name: str, namespace: str | None = None, **query: str) -> None:
        """Repeatable."""
        try:
            self.call("DELETE", kind.path(namespace, name), **query)
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(self, kind: Kind) -> Iterator[bytes]:
        """A line for every object there is, in all namespaces, then one for each change; ends by itself."""
        path = kind.path(None)
        headers = {"Accept": "application/json", **self._who}
        query = urlencode({"watch": "true", "timeoutSeconds": str(WATCHED)})
        url = f"{self._client.configuration.host.rstrip('/')}{path}?{query}"
        timeout = (self._seconds, WATCHED + self._seconds)
        answer = self._client.rest_client.request("GET", url, headers=headers, _request_timeout=timeout)
        if answer.status >= 300:
            raise ApiError(answer.status, {"message": answer.read().decode(errors="replace")})
        try:
            yield from answer.response
        finally:
            answer.response.close()

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str
    ) -> Manifest:
        """One request."""
        headers = {"Accept": "application/json", "Content-Type": content_type, **self._who}
        url = self._client.configuration.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        answer = self._client.rest_client.request(
            method,
            url,
            headers=headers,
            body=json.dumps(body).encode() if content_type == APPLY else body,  # the rest it writes itself
            _request_timeout=self._seconds,
        )
        text = answer.read()
        content = json.loads(text) if text.startswith(b"{") else {"message": text.decode(errors="replace")}
        if answer.status >= 300:
            raise ApiError(answer.status, content)
        return dict(content)


def _path(kind: Kind, meta: Mapping[str, Any], subresource: str = "") -> str:
    path = kind.path(meta.get("namespace"), meta["name"])
    return f"{path}/{subresource}" if subresource else path


def until(
    ask: Callable[[], Found | None], what: str, seconds: float = PATIENCE, every: float = 0.05
) -> Found:
    """What `ask` gives once it is true; fails with `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(every)
    return found
