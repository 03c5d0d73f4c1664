"""Who may reach the models of an environment, as objects of Kubernetes and Istio. Pure.

At the gateway requests are *denied* that do not prove their tenant; nothing is ever allowed there. A gateway
is shared, Istio joins all its ALLOW policies by "or", and one that lets other hosts pass would open what
their owners have closed. What is denied is scoped to the addresses of this one environment, so that
environments never write each other's objects and nobody has to know all of them. In the environment's own
namespace, which is shared with nobody, the pods *allow* those who may come in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from releases.domain.kubernetes_syntax import labels as parsed
from releases.domain.manifests import ownership
from releases.domain.network import Callers, NetworkRules
from releases.domain.traffic import TENANT_HEADER

Manifest = dict[str, Any]

NETWORK_NAME = "portal-models"
CALLERS_NAME = "portal-callers"
SELDONS_PODS = {ownership.MANAGED_BY: "seldon-core"}
# Of the executor and of the model server: both answer a GET of their counters there.
METRICS_PORTS = ("8000", "6000")
METRICS_PATH = "/prometheus"
DNS_PORT = 53
NAMESPACE_NAME = "kubernetes.io/metadata.name"  # a label that the API server gives to every namespace
# Stands for the labels of the gateway's pods where the cluster cannot be asked.
UNKNOWN_LABELS: Mapping[str, str] = {"<labels>": "<as the Gateway object selects its pods>"}


@dataclass(frozen=True, slots=True)
class GuardPlace:
    """An environment's namespace and the gateway before it. `host` is that of our own VirtualServices;
    `gateway_labels` are those by which the Gateway object selects its pods, in the Gateway's namespace."""

    tenant: str
    environment: str
    namespace: str
    host: str
    gateway_namespace: str
    gateway_labels: Mapping[str, str]

    @property
    def gateway_name(self) -> str:
        """Of our objects in the gateway's namespace: one environment has one namespace."""
        return f"portal-{self.namespace}"


def guard_manifests(place: GuardPlace, network: NetworkRules | None, callers: Callers) -> list[Manifest]:
    """All objects that are wanted, in the order in which they are to be brought about."""
    found = [] if network is None else [network_policy(place, network, callers)]
    if callers.issuer:
        found += [gateway_authentication(place, callers), gateway_policy(place, callers)]
    if callers.is_tied:
        found.append(workload_policy(place, callers))
    return found


def network_policy(place: GuardPlace, rules: NetworkRules, callers: Callers) -> Manifest:
    """Only callers reach the models, and these only registry, storage and name service.

    Callers are pods in this namespace, in the gateway's and in those that callers are said to be in: a label
    alone could be given to a pod by anybody in any namespace. Whom the models call may be anywhere."""
    near = sorted({place.namespace, place.gateway_namespace, *callers.namespaces, *_namespaces(callers)})
    inside = {"matchExpressions": [{"key": NAMESPACE_NAME, "operator": "In", "values": near}]}
    return _manifest(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        place,
        (NETWORK_NAME, place.namespace),
        {
            "podSelector": _matching(rules.models),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [{"namespaceSelector": inside, "podSelector": _matching(rules.callers)}],
                    "ports": [_port(rules.models_port)],
                }
            ],
            "egress": [
                _egress(rules.registry, _port(rules.registry_port)),
                _egress(rules.storage, _port(rules.storage_port)),
                _egress(rules.dns, _port(DNS_PORT, "UDP"), _port(DNS_PORT)),
            ],
        },
    )


def workload_policy(place: GuardPlace, callers: Callers) -> Manifest:
    """Seldon's pods answer the gateway, which has looked at the token and said the tenant in the header, and
    the tenant's own workloads in the mesh. Counters may be read by whoever reaches the pods."""
    sources: list[Manifest] = [{"namespaces": [place.gateway_namespace]}]
    if callers.namespaces:
        sources.append({"namespaces": list(callers.namespaces)})
    if callers.principals:
        sources.append({"principals": list(callers.principals)})
    counters = {"methods": ["GET"], "paths": [METRICS_PATH], "ports": list(METRICS_PORTS)}
    return _policy(
        place,
        (CALLERS_NAME, place.namespace),
        SELDONS_PODS,
        "ALLOW",
        [
            {"from": [{"source": one} for one in sources], "when": [_header(place.tenant)]},
            {"to": [{"operation": counters}]},
        ],
    )


def gateway_authentication(place: GuardPlace, callers: Callers) -> Manifest:
    """Tokens of the environment's issuer are checked at the gateway. The pods get to see them too."""
    rule: Manifest = {"issuer": callers.issuer, "jwksUri": callers.jwks_uri}
    if callers.audiences:
        rule["audiences"] = list(callers.audiences)
    return _manifest(
        "security.istio.io/v1",
        "RequestAuthentication",
        place,
        (place.gateway_name, place.gateway_namespace),
        {
            "selector": {"matchLabels": dict(place.gateway_labels)},
            "jwtRules": [{**rule, "forwardOriginalToken": True}],
        },
    )


def gateway_policy(place: GuardPlace, callers: Callers) -> Manifest:
    """Denied is, at the environment's own address and wherever the header says that it is this tenant: a
    request whose token does not say so as well, is of another issuer, or is meant for others. Missing counts
    as different. Seldon's own addresses know no tenants: they are closed, on every host.

    The issuer is part of it because a gateway checks the tokens of all its environments' issuers, each of
    which could put any tenant into a token; so are the audiences, which others may not ask for."""
    own = {"hosts": [place.host, f"{place.host}:*"], "paths": [f"/{place.tenant}/{place.environment}/*"]}
    services = {**own, "paths": [f"/services/{place.environment}/*"]}
    but_the_portal = [{"source": {"notRequestPrincipals": [callers.portal]}}] if callers.portal else []
    rules: list[Manifest] = []
    for operation, said in ((own, []), (services, [_header(place.tenant)])):
        to = [{"operation": operation}]
        exempt = {"from": but_the_portal} if but_the_portal else {}
        rules.append({**exempt, "to": to, "when": [*said, _claim(callers.claim, place.tenant)]})
        rules.append({"to": to, "when": [*said, _claim("iss", callers.issuer)]})
        if callers.audiences:
            unmeant = {"key": "request.auth.audiences", "notValues": list(callers.audiences)}
            rules.append({"to": to, "when": [*said, unmeant]})
    by_headers = [
        {"key": "request.headers[seldon]", "values": ["*"]},
        {"key": "request.headers[namespace]", "values": [place.namespace]},
    ]
    rules.append({"to": [{"operation": {"paths": [f"/seldon/{place.namespace}/*"]}}]})
    rules.append({"when": by_headers})
    return _policy(place, (place.gateway_name, place.gateway_namespace), place.gateway_labels, "DENY", rules)


def _manifest(
    api_version: str, kind: str, place: GuardPlace, name: tuple[str, str], spec: Manifest
) -> Manifest:
    labels = ownership.labels(place.tenant, place.environment)
    metadata = {"name": name[0], "namespace": name[1], "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _policy(
    place: GuardPlace,
    name: tuple[str, str],
    pods: Mapping[str, str],
    action: str,
    rules: list[Manifest],
) -> Manifest:
    spec = {"selector": {"matchLabels": dict(pods)}, "action": action, "rules": rules}
    return _manifest("security.istio.io/v1", "AuthorizationPolicy", place, name, spec)


def _header(tenant: str) -> Manifest:
    return {"key": f"request.headers[{TENANT_HEADER}]", "values": [tenant]}


def _claim(claim: str, not_value: str) -> Manifest:
    return {"key": f"request.auth.claims[{claim}]", "notValues": [not_value]}


def _matching(labels: str) -> Manifest:
    return {"matchLabels": parsed(labels)}


def _port(number: int, protocol: str = "TCP") -> Manifest:
    return {"protocol": protocol, "port": number}


def _egress(labels: str, *ports: Manifest) -> Manifest:
    return {"to": [{"namespaceSelector": {}, "podSelector": _matching(labels)}], "ports": list(ports)}


def _namespaces(callers: Callers) -> list[str]:
    """Of the principals, `trust domain/ns/<namespace>/sa/<account>`."""
    return [principal.split("/")[2] for principal in callers.principals]
