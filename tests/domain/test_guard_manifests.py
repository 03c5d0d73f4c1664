"""Who gets past the policies of an environment. The rules are evaluated here as Istio documents them: a rule
holds when one of `from`, one of `to` and all of `when` do; a missing value is none of the values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from releases.domain.manifests.guard import GuardPlace, guard_manifests, network_policy
from releases.domain.manifests.ownership import labels
from releases.domain.manifests.writing import as_yaml
from releases.domain.network import Callers, NetworkRules

PLACE = GuardPlace(
    "acme", "production", "acme-prod", "models.test", "istio-system", {"istio": "ingressgateway"}
)
ISSUER = "https://issuer.test"
JWT = Callers(issuer=ISSUER, jwks_uri=f"{ISSUER}/keys", audiences=("models",), portal=f"{ISSUER}/portal")
TOKEN = {"iss": ISSUER, "sub": "checkout", "aud": "models", "tenant": "acme"}


@dataclass(frozen=True)
class Request:
    """As the gateway sees it; `claims` are those of a token whose signature was right."""

    path: str = "/acme/production/v2/models/wine/infer"
    host: str = "models.test"
    headers: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)

    def value(self, key: str) -> str | None:
        """Of an attribute of Istio's, as in "request.headers[tenant]"."""
        kind, _, name = key.rstrip("]").partition("[")
        found = {"request.headers": self.headers, "request.auth.claims": self.claims}
        return self.claims.get("aud") if kind == "request.auth.audiences" else found[kind].get(name)

    @property
    def principal(self) -> str:
        return f"{self.claims['iss']}/{self.claims['sub']}" if self.claims else ""


SERVICE = Request("/services/production/v2/models/tasting/infer", headers={"tenant": "acme"})


def is_like(values: list[str], value: str | None) -> bool:
    """Exact, or a prefix with * at its end; hosts and names of tests are in lower case already."""
    return value is not None and any(
        value.startswith(one[:-1]) if one.endswith("*") else value == one for one in values
    )


def holds(rule: Mapping[str, Any], request: Request) -> bool:
    operations = [one["operation"] for one in rule.get("to", [{"operation": {}}])]
    sources = [one["source"] for one in rule.get("from", [{"source": {}}])]
    return (
        any(
            is_like(one.get("hosts", ["*"]), request.host) and is_like(one.get("paths", ["*"]), request.path)
            for one in operations
        )
        and not all(is_like(one.get("notRequestPrincipals", []), request.principal) for one in sources)
        and all(
            is_like(one.get("values", ["*"]), request.value(one["key"]))
            if "values" in one
            else not is_like(one["notValues"], request.value(one["key"]))
            for one in rule.get("when", [])
        )
    )


def is_denied(request: Request, callers: Callers = JWT, place: GuardPlace = PLACE) -> bool:
    """By the policy at the gateway."""
    found = [one for one in guard_manifests(place, None, callers) if one["spec"].get("action") == "DENY"]
    return any(holds(rule, request) for one in found for rule in one["spec"]["rules"])


@pytest.mark.parametrize("request_", [Request(), SERVICE], ids=["own address", "service"])
def test_gateway_lets_in_whose_token_names_the_tenant_and_nobody_else(request_: Request) -> None:
    def denied(**claims: str) -> bool:
        return is_denied(replace(request_, claims=TOKEN | claims))

    assert not denied()
    assert is_denied(request_), "without a token"
    assert denied(tenant="globex")
    assert denied(iss="https://other.test"), "another environment's issuer, trusted at the same gateway"
    assert denied(aud="shop")
    assert is_denied(replace(request_, claims={k: v for k, v in TOKEN.items() if k != "tenant"}))
    assert not denied(sub="portal", tenant="nobody"), "the portal's smoke test"


def test_gateway_with_a_port_in_the_host_is_the_same_gateway() -> None:
    assert is_denied(Request(host="models.test:8443"))


@pytest.mark.parametrize(
    "untouched",
    [
        Request(host="shop.test"),
        Request("/globex/production/v2/models/wine/infer"),
        Request("/acme/staging/v2/models/wine/infer"),
        Request("/services/staging/v2/models/tasting", headers={"tenant": "acme"}),
        Request("/services/production/v2/models/tasting", headers={"tenant": "globex"}),
        Request("/acme/production-2/v2/models/wine"),
    ],
    ids=["host", "tenant", "environment", "service elsewhere", "other's service", "name that begins alike"],
)
def test_gateway_is_left_to_others_in_all_that_is_not_this_environments(untouched: Request) -> None:
    assert not is_denied(untouched)


@pytest.mark.parametrize("host", ["models.test", "anything.test"])
def test_seldons_own_addresses_are_closed_on_every_host(host: str) -> None:
    by_headers = {"seldon": "wine", "namespace": "acme-prod", "tenant": "acme"}
    assert is_denied(Request("/seldon/acme-prod/wine/v2/models/model/infer", host, claims=TOKEN))
    assert is_denied(Request("/inference.GRPCInferenceService/ModelInfer", host, by_headers, TOKEN))
    assert not is_denied(Request("/seldon/other/wine/v2/models/model/infer", "anything.test"))


def test_policies_of_two_tenants_at_one_gateway_do_not_open_each_other() -> None:
    other = replace(PLACE, tenant="globex", namespace="globex-prod")
    others = replace(JWT, issuer="https://globex.test", jwks_uri="https://globex.test/keys", portal="")
    forged = replace(SERVICE, claims=TOKEN | {"iss": "https://globex.test"})
    assert is_denied(forged)
    assert not is_denied(forged, others, other)
    first, second = (
        {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in made}
        for made in (guard_manifests(PLACE, None, JWT), guard_manifests(other, None, others))
    )
    assert not first & second


def test_pods_answer_the_gateway_and_the_tenants_workloads_when_the_header_says_the_tenant() -> None:
    principal = "cluster.local/ns/shop/sa/checkout"
    callers = Callers(namespaces=("front",), principals=(principal,))
    (policy,) = guard_manifests(PLACE, None, callers)
    spec = policy["spec"]
    assert (policy["metadata"]["namespace"], spec["action"]) == ("acme-prod", "ALLOW")
    assert spec["selector"]["matchLabels"] == {"app.kubernetes.io/managed-by": "seldon-core"}
    people, counters = spec["rules"]
    assert [one["source"] for one in people["from"]] == [
        {"namespaces": ["istio-system"]},
        {"namespaces": ["front"]},
        {"principals": [principal]},
    ]
    assert people["when"] == [{"key": "request.headers[tenant]", "values": ["acme"]}]
    assert counters["to"] == [
        {"operation": {"methods": ["GET"], "paths": ["/prometheus"], "ports": ["8000", "6000"]}}
    ]


def test_tokens_are_checked_at_the_gateways_pods_and_passed_on() -> None:
    found = next(one for one in guard_manifests(PLACE, None, JWT) if one["kind"] == "RequestAuthentication")
    assert found["metadata"]["namespace"] == "istio-system"
    assert found["spec"] == {
        "selector": {"matchLabels": {"istio": "ingressgateway"}},
        "jwtRules": [
            {
                "issuer": ISSUER,
                "jwksUri": f"{ISSUER}/keys",
                "audiences": ["models"],
                "forwardOriginalToken": True,
            }
        ],
    }


def test_callers_that_nothing_ties_have_no_policies() -> None:
    assert guard_manifests(PLACE, None, Callers()) == []


def test_network_policy_lets_models_talk_to_what_they_need_and_denies_the_rest() -> None:
    found = network_policy(PLACE, NetworkRules(), Callers(namespaces=("front",)))
    assert found["metadata"] == {
        "name": "portal-models",
        "namespace": "acme-prod",
        "labels": labels("acme", "production"),
    }
    spec = found["spec"]
    assert spec["podSelector"] == {"matchLabels": {"app": "model-server"}}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (ingress,) = spec["ingress"]
    (caller,) = ingress["from"]
    assert caller["podSelector"] == {"matchLabels": {"app": "api-gateway"}}
    (near,) = caller["namespaceSelector"]["matchExpressions"]
    assert near["values"] == ["acme-prod", "front", "istio-system"]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 8080}]
    reached = [
        (peer["podSelector"]["matchLabels"], [(one["protocol"], one["port"]) for one in rule["ports"]])
        for rule in spec["egress"]
        for peer in rule["to"]
    ]
    assert reached == [
        ({"app": "mlflow-server"}, [("TCP", 5000)]),
        ({"app": "minio"}, [("TCP", 9000)]),
        ({"k8s-app": "kube-dns"}, [("UDP", 53), ("TCP", 53)]),
    ]
    assert all(peer["namespaceSelector"] == {} for rule in spec["egress"] for peer in rule["to"])


def test_manifests_are_written_in_the_order_in_which_they_are_read() -> None:
    text = as_yaml(guard_manifests(PLACE, NetworkRules(), JWT))
    kinds = [line.removeprefix("kind: ") for line in text.splitlines() if line.startswith("kind: ")]
    assert kinds == ["NetworkPolicy", "RequestAuthentication", "AuthorizationPolicy", "AuthorizationPolicy"]
