"""The connection of an environment to its cluster: everything that the portal will need is tried once.

What is missing is told by name: a right as the verb and the resource it is for, an object by its place. Asks
the API server about rights (SelfSubjectAccessReview) instead of trying them, so nothing is changed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from releases.adapters.kubernetes_api import (
    ACCESS_REVIEW,
    AUTHORIZATION_POLICY,
    AUTOSCALER,
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    REQUEST_AUTHENTICATION,
    SECRET,
    SELDON_DEPLOYMENT,
    VIRTUAL_SERVICE,
    Forbidden,
    Kind,
)
from releases.adapters.seldon_place import SeldonPlace, namespace_refusal
from releases.ports import AdapterError, Finding

OWNED = ("get", "list", "create", "patch", "delete")
OPERATOR_SETTINGS = "seldon-config"


@dataclass(frozen=True, slots=True)
class Right:
    """What may be done to a kind of object; `name`: to this one only."""

    kind: Kind
    verb: str
    namespace: str
    name: str = ""

    @property
    def said(self) -> str:
        """As people write it."""
        what = f"{self.kind.plural}/{self.name}" if self.name else self.kind.plural
        return f"{self.verb} {what} in {self.namespace}"


def needed(place: SeldonPlace) -> list[Right]:
    """All rights that the portal uses, as deploy/rbac.yaml gives them."""
    gateway_namespace, _, gateway = place.istio_gateway.partition("/")
    models: list[tuple[Kind, tuple[str, ...]]] = [
        (SELDON_DEPLOYMENT, OWNED),
        (AUTOSCALER, OWNED),
        (VIRTUAL_SERVICE, OWNED),
        (NETWORK_POLICY, OWNED),
        (AUTHORIZATION_POLICY, OWNED),
        (DEPLOYMENT, ("list", "delete")),
        (POD, ("list",)),
        (ENDPOINT_SLICE, ("list",)),
    ]
    around = [(REQUEST_AUTHENTICATION, OWNED), (AUTHORIZATION_POLICY, OWNED)]
    return [
        *(Right(kind, verb, place.namespace) for kind, verbs in models for verb in verbs),
        Right(GATEWAY, "get", gateway_namespace, gateway),
        *(Right(kind, verb, gateway_namespace) for kind, verbs in around for verb in verbs),
    ]


class KubernetesConnection:
    """Port `Connection`; `asks`: what else the environment needs, as its artifact store, and a call that
    raises when it does not answer."""

    def __init__(self, place: SeldonPlace, asks: Mapping[str, Callable[[], object]]) -> None:
        self._place = place
        self._cluster = place.cluster
        self._asks = asks

    def examine(self) -> list[Finding]:
        try:
            version = self._cluster.version()
        except AdapterError as error:
            return [Finding("cluster", False, str(error)), *self._engines()]
        answers = Finding("cluster", True, f"{self._cluster.config.name} answers: Kubernetes {version}")
        return [answers, *self._objects(), *self._engines()]

    def _objects(self) -> Iterator[Finding]:
        """Each is looked at, whatever is wrong with the others."""
        looks: dict[str, Callable[[], Finding]] = {
            "namespace": self._namespace,
            "Seldon Core": lambda: self._kind("Seldon Core", SELDON_DEPLOYMENT),
            "Istio": lambda: self._kind("Istio", VIRTUAL_SERVICE),
            "rights": self._rights,
            "artifacts secret": lambda: self._secret(
                "artifacts secret", self._place.artifacts_secret, "pods cannot fetch any model"
            ),
            "gateway": self._gateway,
            "model image": self._operator_settings,
        }
        if secret := self._place.models_secret:
            looks["models secret"] = lambda: self._secret("models secret", secret, "no model server starts")
        for name, look in looks.items():
            try:
                yield look()
            except AdapterError as error:
                yield Finding(name, False, str(error))

    def _namespace(self) -> Finding:
        place = self._place
        try:
            why = namespace_refusal(self._cluster.get(NAMESPACE, place.namespace), place)
        except Forbidden as error:
            why = f"the portal may not look at the namespace {place.namespace}, or there is none: {error}"
        return Finding("namespace", not why, why or f"{place.namespace} belongs to {place.tenant}")

    def _kind(self, name: str, kind: Kind) -> Finding:
        if self._cluster.serves(kind):
            return Finding(name, True, f"the cluster knows {kind.name} ({kind.api_version})")
        return Finding(
            name,
            False,
            f"the cluster does not know {kind.name} ({kind.api_version}): {name} is not installed",
        )

    def _rights(self) -> Finding:
        rights = needed(self._place)
        missing = [right.said for right in rights if not self._may(right)]
        if not missing:
            return Finding("rights", True, f"all {len(rights)} that are needed")
        said = f"the portal may not: {'; '.join(missing)}. deploy/rbac.yaml gives these rights"
        return Finding("rights", False, said)

    def _may(self, right: Right) -> bool:
        group, _, _ = right.kind.api_version.rpartition("/")
        asked = {
            "namespace": right.namespace,
            "verb": right.verb,
            "group": group,
            "resource": right.kind.plural,
            "name": right.name,
        }
        review = {
            "apiVersion": ACCESS_REVIEW.api_version,
            "kind": ACCESS_REVIEW.name,
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        answer = self._cluster.create(ACCESS_REVIEW, review)
        return bool((answer.get("status") or {}).get("allowed"))

    def _secret(self, what: str, name: str, without: str) -> Finding:
        namespace = self._place.namespace
        try:
            is_there = self._cluster.exists(SECRET, name, namespace)
        except Forbidden:
            said = (
                f"the portal may not look whether there is a secret {name}: a missing one is told by the pods"
            )
            return Finding(what, True, said)
        if is_there:
            return Finding(what, True, f"{namespace} has the secret {name}")
        said = f"the namespace {namespace} has no secret {name}: without it {without}"
        return Finding(what, False, said)

    def _gateway(self) -> Finding:
        namespace, _, name = self._place.istio_gateway.partition("/")
        if self._cluster.get(GATEWAY, name, namespace) is None:
            said = f"there is no Gateway {name} in the namespace {namespace}: no caller would come in"
            return Finding("gateway", False, said)
        return Finding("gateway", True, f"{self._place.istio_gateway} is there")

    def _operator_settings(self) -> Finding:
        """Only told: an image of the environment's own needs no settings of the operator."""
        if self._place.model_image:
            return Finding("model image", True, f"the environment's own: {self._place.model_image}")
        namespace = self._place.operator_namespace
        try:
            is_there = self._cluster.get(CONFIG_MAP, OPERATOR_SETTINGS, namespace) is not None
        except Forbidden:
            is_there = False
        if is_there:
            return Finding("model image", True, f"the operator's, of the ConfigMap {OPERATOR_SETTINGS}")
        said = (
            f"the operator's; which one that is cannot be seen, because the ConfigMap {OPERATOR_SETTINGS} in "
            f"{namespace} cannot be read. Versions saved by MLflow 3 need an image of the environment's own"
        )
        return Finding("model image", True, said)

    def _engines(self) -> Iterator[Finding]:
        for name, ask in self._asks.items():
            try:
                ask()
            except AdapterError as error:
                yield Finding(name, False, str(error))
            else:
                yield Finding(name, True, "answers")
