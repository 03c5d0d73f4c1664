"""The guard on Kubernetes: a NetworkPolicy, and Istio's policies at the pods and at the gateway.

Holds what stands in the cluster against what is wanted, and brings that about; what the policies say is in
`domain.manifests.guard`. Touches nothing that does not carry this environment's labels.
"""

from collections.abc import Iterator, Mapping

from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import (
    AUTHORIZATION_POLICY,
    GATEWAY,
    KINDS,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    REQUEST_AUTHENTICATION,
    Forbidden,
    Kind,
    Manifest,
)
from releases.adapters.kubernetes_difference import differences
from releases.adapters.seldon_objects import is_of, label, name
from releases.adapters.seldon_place import namespace_refusal
from releases.domain.kubernetes_syntax import labels as parsed
from releases.domain.manifests import ownership
from releases.domain.manifests.guard import SELDONS_PODS, GuardPlace, guard_manifests
from releases.domain.manifests.ingress import gateway_of, host_of
from releases.domain.network import NetworkRules
from releases.ports import Protection, Refused

SIDECAR = "istio-proxy"
AMBIENT = "ambient.istio.io/redirection"
HTTP = frozenset({"HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB"})
AT_MODELS, AT_GATEWAY = (NETWORK_POLICY, AUTHORIZATION_POLICY), (REQUEST_AUTHENTICATION, AUTHORIZATION_POLICY)


class IstioGuard:
    """Port `Guard` for one environment."""

    def __init__(self, place: IstioPlace) -> None:
        self._place = place
        self._cluster = place.cluster

    def apply(self, wanted: Protection) -> None:
        """What can be refused is refused before anything is written: namespace, gateway, others' objects."""
        place = self._place
        if why := namespace_refusal(self._cluster.get(NAMESPACE, place.namespace), place):
            raise Refused(why)
        manifests = self._manifests(wanted)
        present = [self._found(manifest) for manifest in manifests]
        for manifest, found in zip(manifests, present, strict=True):
            if found is None or found.get("spec") != manifest["spec"]:
                self._cluster.settle(manifest)
        for kind, left in self._stale(manifests):
            self._cluster.delete(kind, name(left), left["metadata"]["namespace"])

    def drift(self, wanted: Protection) -> list[str]:
        """Field by field: whatever the API server adds to a spec of ours it would say itself."""
        said: list[str] = []
        manifests = self._manifests(wanted)
        for manifest in manifests:
            what, found = _what(manifest), self._found(manifest)
            if found is None:
                said.append(f"there is no {what}")
            else:
                said += (f"{what}: {one}" for one in differences(manifest["spec"], found.get("spec") or {}))
        return said + [f"{_what(left)} is not wanted any more" for _, left in self._stale(manifests)]

    def weaknesses(self, wanted: Protection) -> list[str]:
        """Looks at Seldon's pods: a policy without pods, or without a sidecar at them, keeps nobody out."""
        callers = wanted.callers
        said: list[str] = []
        if callers.is_tied and not callers.issuer:
            said.append(
                "no issuer of tokens is set: whoever comes through the gateway is taken for the "
                "tenant that it names"
            )
        selector = ",".join(f"{key}={value}" for key, value in SELDONS_PODS.items())
        pods = self._cluster.list(POD, self._place.namespace, selector)
        if not pods:
            return said
        if wanted.network:
            said += _of_network(wanted.network, pods)
        outside = sum(not _is_in_mesh(pod) for pod in pods)
        if callers.is_tied and outside:
            said.append(
                f"{outside} of {len(pods)} pods of models have no sidecar of Istio: no AuthorizationPolicy "
                f"holds there, and every workload in the cluster may call them. Label the namespace "
                f"{self._place.namespace} istio-injection=enabled and release the models again"
            )
        return said

    def _manifests(self, wanted: Protection) -> list[Manifest]:
        place = self._place
        if (wanted.tenant, wanted.environment) != (place.tenant, place.environment):
            raise Refused(f"{wanted.tenant}/{wanted.environment} is not the environment that is guarded here")
        gateway_namespace, _ = gateway_of(place.istio_gateway, place.namespace)
        pods = self._gateways_pods() if wanted.callers.issuer else {}
        where = GuardPlace(
            place.tenant,
            place.environment,
            place.namespace,
            host_of(place.gateway_url),
            gateway_namespace,
            pods,
        )
        return guard_manifests(where, wanted.network, wanted.callers)

    def _gateways_pods(self) -> Mapping[str, str]:
        """The labels of the pods that the Gateway object selects; `Refused` when a policy on them would do
        something else than what it says."""
        namespace, gateway = gateway_of(self._place.istio_gateway, self._place.namespace)
        found = self._cluster.get(GATEWAY, gateway, namespace)
        if found is None:
            raise Refused(
                f"there is no Gateway {namespace}/{gateway} in the cluster: who is let in is unknown"
            )
        spec = found.get("spec") or {}
        pods: Mapping[str, str] = spec.get("selector") or {}
        if not pods:
            raise Refused(
                f"the Gateway {namespace}/{gateway} has no selector: a policy would hold for every pod there"
            )
        for server in spec.get("servers") or []:
            port = server.get("port") or {}
            if str(port.get("protocol", "")).upper() not in HTTP or "PASSTHROUGH" in str(server.get("tls")):
                raise Refused(
                    f"the Gateway {namespace}/{gateway} does not read HTTP on its port {port.get('number')}: "
                    "Istio would deny everything there. Name a Gateway with pods of its own"
                )
        return pods

    def _found(self, manifest: Manifest) -> Manifest | None:
        """What is there of the object; `Refused` when it is somebody else's."""
        metadata = manifest["metadata"]
        found = self._cluster.get(KINDS[manifest["kind"]], metadata["name"], metadata["namespace"])
        if found is not None and not is_of(found, self._place.tenant, self._place.environment):
            raise Refused(
                f"the {_what(manifest)} is not the portal's: its labels do not say "
                f"{ownership.selector(self._place.tenant, self._place.environment)}. Rename or delete it"
            )
        return found

    def _stale(self, manifests: list[Manifest]) -> Iterator[tuple[Kind, Manifest]]:
        """Objects of this environment that are not among these."""
        place = self._place
        kept = {_what(manifest) for manifest in manifests}
        selector = ownership.selector(place.tenant, place.environment)
        around, _ = gateway_of(place.istio_gateway, place.namespace)
        is_needed = any(manifest["metadata"]["namespace"] == around for manifest in manifests)
        asked = [(place.namespace, kind) for kind in AT_MODELS] + [(around, kind) for kind in AT_GATEWAY]
        for namespace, kind in dict.fromkeys(asked):
            try:
                found = self._cluster.list(kind, namespace, selector)
            except Forbidden:
                if namespace == place.namespace or is_needed:
                    raise
                continue  # without rights at the gateway nothing of ours can be there
            yield from ((kind, one) for one in found if _what(one) not in kept)


def _what(manifest: Mapping[str, object]) -> str:
    metadata = manifest["metadata"]
    assert isinstance(metadata, Mapping)  # noqa: S101 - an object of Kubernetes
    return f"{manifest['kind']} {metadata['namespace']}/{metadata['name']}"


def _of_network(rules: NetworkRules, pods: list[Manifest]) -> Iterator[str]:
    wanted = parsed(rules.models)
    chosen = [pod for pod in pods if wanted.items() <= label(pod).items()]
    if len(chosen) < len(pods):
        yield (
            f"the NetworkPolicy selects {rules.models}, which {len(pods) - len(chosen)} of {len(pods)} pods "
            "of models do not carry: it does not protect these. Pods get it when their version is deployed"
        )
    ports = {
        port.get("containerPort")
        for pod in chosen
        for container in (pod.get("spec") or {}).get("containers") or []
        for port in container.get("ports") or []
    }
    if ports and rules.models_port not in ports:
        listed = ", ".join(str(port) for port in sorted(ports))
        yield (
            f"the NetworkPolicy opens port {rules.models_port}, but the pods of models listen on {listed}: "
            "nobody reaches them. Seldon's executor answers on 8000"
        )


def _is_in_mesh(pod: Manifest) -> bool:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    annotations = pod["metadata"].get("annotations") or {}
    return any(one.get("name") == SIDECAR for one in containers) or annotations.get(AMBIENT) == "enabled"
