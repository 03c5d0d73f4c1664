"""An environment in the mesh, steered by the portal's own adapters with the rights of an administrator."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from releases.adapters.guard.istio import IstioGuard
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import Cluster, ClusterConfig
from releases.adapters.router.istio import IstioRouter
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.network import Callers
from releases.domain.plan import TrafficSplit
from releases.domain.release import TargetState
from releases.domain.routing import Arm, Route, RouteSetting
from releases.domain.traffic import ServiceMatch
from releases.ports import Deployment, Protection
from tests.cluster.api import until
from tests.istio.mesh import GATEWAY_PORT

HOST = "models.example"
ISTIO_NAMESPACE = "istio-system"
ISTIO_GATEWAY = f"{ISTIO_NAMESPACE}/seldon-gateway"
IN_EFFECT_SECONDS = 15.0


@dataclass
class Served:
    """One environment of one tenant in a namespace of its own."""

    kubeconfig: Path
    namespace: str
    tenant: str = "acme"
    environment: str = "production"
    deployments: dict[str, Deployment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cluster = Cluster(ClusterConfig("mesh", str(self.kubeconfig)))
        of = (cluster, self.namespace, self.tenant, self.environment)
        url = f"http://{HOST}:{GATEWAY_PORT}"
        self.target = SeldonTarget(SeldonPlace(*of, "s3://models", "model-artifacts"))
        self.router = IstioRouter(IstioPlace(*of, url, ISTIO_GATEWAY))
        self.guard = IstioGuard(IstioPlace(*of, url, ISTIO_GATEWAY))

    def deploy(self, model: str, version: str) -> Arm:
        """A version that is ready and gets no traffic, unless it is the model's first."""
        ref = f"{self.tenant}-{self.environment}-{model}-{version.replace('.', '-')}"
        digest = "sha256:" + "ab" * 32
        of = (self.tenant, self.environment, model, version, digest)
        self.deployments[ref] = Deployment(ref, *of, Path("/nowhere"))
        self.target.ensure(self.deployments[ref])
        until(lambda: self.target.status([ref])[ref].state is TargetState.READY, f"{ref} is ready")
        address = self.target.status([ref])[ref].address
        assert address
        return Arm(ref, address)

    def route(self, model: str) -> Route:
        return Route(self.tenant, self.environment, model)

    def path(self, model: str) -> str:
        return f"/{self.tenant}/{self.environment}/v2/models/{model}"

    def service_path(self, service: str) -> str:
        return f"/services/{self.environment}/v2/models/{service}"

    def split(
        self,
        model: str,
        share: int,
        stable: Arm | None,
        candidate: Arm | None = None,
        matches: tuple[ServiceMatch, ...] = (),
        shadow: bool = False,
    ) -> float:
        """Apply a setting and wait until the router reads it back; returns the seconds that took."""
        wanted = RouteSetting(TrafficSplit(share, shadow), stable, candidate, matches)
        route, began = self.route(model), time.monotonic()
        self.router.apply({route: wanted})
        until(
            lambda: self.router.read([route])[route] == wanted,
            f"{route.name} at {share} % is in effect; it is {self.router.read([route])[route]}",
            IN_EFFECT_SECONDS,
            every=0.02,
        )
        return time.monotonic() - began

    def tie(self, callers: Callers) -> Protection:
        """Callers have to prove their tenant from now on."""
        wanted = Protection(self.tenant, self.environment, None, callers)
        self.guard.apply(wanted)
        assert self.guard.drift(wanted) == []
        return wanted
