"""Where the models of one environment are behind Istio. Values only; shared by router and guard."""

from dataclasses import dataclass

from releases.adapters.kubernetes_api import Cluster
from releases.adapters.seldon_writing import SeldonDeployments


@dataclass(frozen=True, slots=True)
class IstioPlace:
    """One environment's namespace and its way in. `gateway_url` is the address of our own host,
    `istio_gateway` the Gateway object that serves it (namespace/name); `request_seconds`: what a model may
    take for one answer."""

    cluster: Cluster
    namespace: str
    tenant: str
    environment: str
    gateway_url: str
    istio_gateway: str = "istio-system/seldon-gateway"
    request_seconds: float = 30.0

    @property
    def seldon_deployments(self) -> SeldonDeployments:
        return SeldonDeployments(self.cluster, self.namespace, self.tenant, self.environment)
