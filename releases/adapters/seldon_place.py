"""Where the models of one environment run on Kubernetes, and what would be written there. Values only.

Shared by target, preflight and connection, which know nothing of each other.
"""

from dataclasses import dataclass
from typing import Protocol

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import Cluster
from releases.adapters.seldon_objects import Manifest, Read
from releases.adapters.seldon_writing import SeldonDeployments
from releases.ports import Problem


@dataclass(frozen=True, slots=True)
class SeldonPlace:
    """One environment's namespace and what its pods are made of.

    `artifacts` (s3://bucket/prefix) is where pods fetch models from, with the credentials in the Secret
    `artifacts_secret`; the keys of `models_secret` are the environment of the model servers, empty: none.
    `model_image` empty: whatever the operator is set up with. Requests and limits are
    Kubernetes quantities, empty: none. `start_seconds`: what a model may take from its pod's start to its
    first answer. `pod_labels` (key=value, …) are given to the pods, for network policies. `istio_gateway` is
    namespace/name; the operator's own settings are in `operator_namespace`."""

    cluster: Cluster
    namespace: str
    tenant: str
    environment: str
    artifacts: str
    artifacts_secret: str
    model_image: str = ""
    models_secret: str = ""
    cpu_request: str = "500m"
    cpu_limit: str = "2"
    memory_request: str = "1Gi"
    memory_limit: str = "2Gi"
    start_seconds: int = 600
    pod_labels: str = "app=model-server"
    istio_gateway: str = "istio-system/seldon-gateway"
    operator_namespace: str = "seldon-system"

    @property
    def seldon_deployments(self) -> SeldonDeployments:
        return SeldonDeployments(self.cluster, self.namespace, self.tenant, self.environment)


class OfNamespace(Protocol):
    """What of a place says whose namespace it is."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def namespace(self) -> str: ...

    @property
    def tenant(self) -> str: ...


def namespace_refusal(found: Read | None, place: OfNamespace) -> str:
    """Why the portal does not use the namespace, as it was found; empty when all is well. The label is what
    ties a namespace to a tenant: only who rules the cluster can set it."""
    wanted = f"{seldon.TENANT}={place.tenant}"
    if found is None:
        return (
            f"the namespace {place.namespace} does not exist in the cluster {place.cluster.config.name}: "
            f"whoever rules the cluster creates it, with the label {wanted}"
        )
    has = seldon.label(found).get(seldon.TENANT)
    if has == place.tenant:
        return ""
    said = f"has {seldon.TENANT}={has}" if has else f"has no label {seldon.TENANT}"
    return (
        f"the namespace {place.namespace} {said}, so it is not {place.tenant}'s: whoever rules the cluster "
        f"gives it away with kubectl label namespace {place.namespace} {wanted}"
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is there of an endpoint and its version, and what would be: whole objects as the portal says them,
    ready to be applied. `refusal`: why nothing can be planned."""

    before: tuple[Manifest, ...]
    after: tuple[Manifest, ...] = ()
    refusal: Problem | None = None
