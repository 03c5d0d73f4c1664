"""One Kubernetes API server, asked for the few kinds of objects that the portal owns or reads.

Knows how to ask and what went wrong; must not know what the objects mean: that is the business of target,
router, guard and metric source. Every write is a server-side apply by the field manager `mlops-portal`.
"""

import json
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from releases.ports import Refused, Unreachable

Manifest = dict[str, Any]

FIELD_MANAGER = "mlops-portal"
IN_CLUSTER = "in-cluster"
APPLY = "application/apply-patch+yaml"  # JSON is YAML
JSON_PATCH = "application/json-patch+json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
LONGEST_MESSAGE = 600
# After a call that was not answered in time the next ones are not even tried for so long: a look that takes
# ten calls at a cluster that hangs must not take ten times the time of one.
QUIET_SECONDS = 3.0
_CREDENTIALS = re.compile(r"(?i)((?:bearer|token|password|authorization)\W+)[\w.~+/-]{8,}=*")


class Conflict(Refused):
    """Somebody else changed the object since it was read: read again, then try again."""


class Invalid(Refused):
    """The API server or a webhook does not accept the object; `causes` are (field, sentence)."""

    def __init__(self, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


class Forbidden(Refused):
    """The portal's account may not do this: RBAC, a quota or an admission plugin said so."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object and where the API server keeps it."""

    api_version: str
    name: str
    plural: str
    is_namespaced: bool = True

    @property
    def root(self) -> str:
        return f"/api/{self.api_version}" if self.api_version == "v1" else f"/apis/{self.api_version}"

    def path(self, namespace: str | None, name: str = "") -> str:
        inside = f"/namespaces/{namespace}" if self.is_namespaced and namespace else ""
        return f"{self.root}{inside}/{self.plural}" + (f"/{name}" if name else "")


NAMESPACE = Kind("v1", "Namespace", "namespaces", is_namespaced=False)
SECRET = Kind("v1", "Secret", "secrets")
POD = Kind("v1", "Pod", "pods")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
SELDON_DEPLOYMENT = Kind("machinelearning.seldon.io/v1", "SeldonDeployment", "seldondeployments")
VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService", "virtualservices")
GATEWAY = Kind("networking.istio.io/v1", "Gateway", "gateways")
AUTHORIZATION_POLICY = Kind("security.istio.io/v1", "AuthorizationPolicy", "authorizationpolicies")
REQUEST_AUTHENTICATION = Kind("security.istio.io/v1", "RequestAuthentication", "requestauthentications")
ACCESS_REVIEW = Kind(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", is_namespaced=False
)
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        NAMESPACE,
        SECRET,
        POD,
        CONFIG_MAP,
        DEPLOYMENT,
        ENDPOINT_SLICE,
        AUTOSCALER,
        NETWORK_POLICY,
        SELDON_DEPLOYMENT,
        VIRTUAL_SERVICE,
        GATEWAY,
        AUTHORIZATION_POLICY,
        REQUEST_AUTHENTICATION,
    )
}


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """`name` is what people call the cluster. `kubeconfig`: a path, or `in-cluster` for the service
    account of the pod that this runs in, or empty when nobody has set the cluster up. `seconds`: what one
    call may take. `absence`: why there is nothing to connect to, when there is not."""

    name: str
    kubeconfig: str
    seconds: float = 5.0
    absence: str = ""


class Cluster:
    """One API server. Threads may share it; nothing is connected before the first call."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._client: Any = None
        self._made_by = 0
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._why_quiet = ""

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """One object; None when there is none."""
        try:
            return self._call("GET", kind.path(namespace, name))
        except _NotThere:
            return None

    def exists(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Whether there is such an object. Only its metadata is sent, so that a secret stays one."""
        try:
            self._call("GET", kind.path(namespace, name), accept=METADATA)
        except _NotThere:
            return False
        return True

    def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind."""
        try:
            found = self._call("GET", kind.root).get("resources") or []
        except _NotThere:
            return False
        return any(one.get("name") == kind.plural for one in found)

    def list(self, kind: Kind, namespace: str | None, labels: str = "", **query: str) -> list[Manifest]:
        """All objects of a kind with these labels (a selector, "a=b,c"), each with its kind.

        Empty as well when the API server has no such kind."""
        asked = {"labelSelector": labels, **query} if labels else query
        try:
            items = self._call("GET", kind.path(namespace), asked).get("items") or []
        except _NotThere:
            return []
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in items]

    def apply(self, manifest: Mapping[str, Any], *, dry_run: bool = False, force: bool = True) -> Manifest:
        """Server-side apply; returns the object as the API server has it then.

        With `metadata.resourceVersion` in the manifest it is refused with `Conflict` when the object has
        changed since; without `force`, when somebody else owns one of its fields."""
        kind, meta = KINDS[manifest["kind"]], manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(meta.get("namespace"), meta["name"])
        return self._call("PATCH", path, query, manifest, APPLY)

    def settle(self, manifest: Mapping[str, Any]) -> None:
        """Make the object's spec this one and nothing more.

        A server-side apply leaves what others have added to a map, as a label to a selector: if there is such
        a thing, the spec is replaced as a whole."""
        after = self.apply(manifest)
        if after.get("spec") == manifest["spec"]:
            return
        kind, meta = KINDS[manifest["kind"]], manifest["metadata"]
        changes = [
            {
                "op": "test",
                "path": "/metadata/resourceVersion",
                "value": after["metadata"]["resourceVersion"],
            },
            {"op": "replace", "path": "/spec", "value": manifest["spec"]},
        ]
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        path = kind.path(meta.get("namespace"), meta["name"])
        self._call("PATCH", path, query, changes, JSON_PATCH)

    def create(self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None) -> Manifest:
        """POST: for reviews, which are no objects, and for what nobody else may have made at the same time
        (`Conflict`)."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return self._call("POST", kind.path(namespace), query, body, "application/json")

    def delete(
        self, kind: Kind, name: str, namespace: str | None = None, resource_version: str | None = None
    ) -> None:
        """Repeatable. With a resource version: `Conflict` when the object has changed since."""
        condition = {"preconditions": {"resourceVersion": resource_version}} if resource_version else None
        try:
            self._call("DELETE", kind.path(namespace, name), None, condition)
        except _NotThere:
            return

    def version(self) -> str:
        """What the API server calls itself, as in "v1.36.3"."""
        return str(self._call("GET", "/version").get("gitVersion", "unknown"))

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Manifest:
        if time.monotonic() < self._quiet_until:
            raise Unreachable(self._why_quiet)
        client = self._connected()
        headers = {"Accept": accept, "Content-Type": content_type}
        url = client.configuration.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        # The vendor writes plain JSON itself and refuses bytes of it; everything else it takes as bytes.
        is_plain = body is None or "json" in content_type
        sent = body if is_plain else json.dumps(body).encode()
        began = time.monotonic()
        try:
            client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = client.rest_client.request(
                method, url, headers=headers, body=sent, _request_timeout=self.config.seconds
            )
            text = answer.read()
        except Exception as error:  # urllib3's, ssl's, and those of plugins that fetch a token
            self._client = None
            said = f"the cluster {self.config.name} does not answer: {_short(str(error))}"
            if time.monotonic() - began > 0.9 * self.config.seconds:
                self._why_quiet, self._quiet_until = said, time.monotonic() + QUIET_SECONDS
            raise Unreachable(said) from error
        if answer.status == 401:
            self._client = None
        return _answer(self.config.name, method, path, answer.status, text)

    def _connected(self) -> Any:
        """The client of the vendor, made at the first call: it must not be inherited over a fork. Made anew
        when it did not get through: somebody may have replaced the kubeconfig."""
        with self._lock:
            client = self._client
            if client is None or self._made_by != os.getpid():
                client = self._client = _connect(self.config)
                self._made_by = os.getpid()
            return client


class _NotThere(Refused):
    """404."""


def _connect(wanted: ClusterConfig) -> Any:
    if wanted.absence:
        raise Unreachable(wanted.absence)
    if not wanted.kubeconfig:
        raise Unreachable(f"the cluster {wanted.name} is not set up: KUBERNETES_CLUSTERS does not name it")
    from kubernetes import client as vendor  # its import takes a second: not in processes without a cluster
    from kubernetes import config

    loading: Any = config  # untyped
    configuration = vendor.Configuration()
    try:
        if wanted.kubeconfig == IN_CLUSTER:
            loading.load_incluster_config(client_configuration=configuration)
        else:
            loading.load_kube_config(
                config_file=wanted.kubeconfig, client_configuration=configuration, persist_config=False
            )
    except Exception as error:  # a missing file, broken YAML, a plugin that fails
        said = f"the connection to the cluster {wanted.name} cannot be read: {_short(str(error))}"
        raise Unreachable(said) from error
    configuration.retries = False  # the next pass is the retry
    return vendor.ApiClient(configuration)


def _answer(cluster: str, method: str, path: str, status: int, text: bytes) -> Manifest:
    """The object, or what the `Status` in the answer means."""
    try:
        content = json.loads(text)
    except ValueError:
        content = {}
    if status < 300:
        found: Manifest = content if isinstance(content, dict) else {}
        return found
    said = _short(str(content.get("message") or f"it answers {status}")) if isinstance(content, dict) else ""
    if status in (429, 500, 502, 503, 504):
        raise Unreachable(f"the cluster {cluster} does not answer {method} {path}: {said or status}")
    if status == 404:
        raise _NotThere(f"the cluster {cluster} has no {path}: {said}")
    if status == 409:
        raise Conflict(said)
    if status == 401:
        raise Unreachable(f"the cluster {cluster} does not accept the portal's credentials: {said}")
    if status == 403:
        raise Forbidden(said)
    if status == 422 or status == 400:
        causes = (content.get("details") or {}).get("causes") or []
        raise Invalid(said, tuple((c.get("field", ""), _short(c.get("message", ""))) for c in causes))
    raise Refused(f"{method} {path}: {said}")


def _short(text: str) -> str:
    """One line that is fit to be shown; credentials that a message may quote are taken out."""
    line = _CREDENTIALS.sub(r"\1…", " ".join(text.split()))
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"
