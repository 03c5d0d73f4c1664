"""The rig of the services with an environment on a real API server: `production` is a namespace of a cluster.

Target, router and preflight are the real ones, with the rights that `deploy/rbac.yaml` gives. In memory stay
registry, probe, gateway and the counting of requests; these flow as the VirtualServices lead them. The clock
is turned by hand, so that a minute of holding takes no minute, but the cluster needs its own time: each tick
leaves it a moment.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from releases.adapters import kubernetes_api
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import Cluster, ClusterConfig, Manifest
from releases.adapters.preflight.seldon import SeldonPreflight
from releases.adapters.router.istio import IstioRouter
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.routing import Route, RouteSetting
from releases.models import Deployment, Endpoint, KubernetesPlace, Release, Transition
from releases.models.places import TargetKind
from releases.ports import AdapterError, Ports
from tests.cluster import pods, rights
from tests.cluster.api import SELDON_DEPLOYMENT, VIRTUAL_SERVICE, Api, until
from tests.cluster.conftest import TestCluster
from tests.fakes import FakeWorld
from tests.services.rig import Rig

MOMENT = 0.2  # of real time, in every tick
SECRET = "model-artifacts"
PLAN: dict[str, Any] = {"steps": [{"weight": 40, "hold_seconds": 3}], "grace_seconds": 2}
ENDED = ("succeeded", "rolled_back", "rejected", "cancelled")


@dataclass
class ClusterWorld(FakeWorld):
    """The ports in memory, but for those of the cluster once it is known."""

    cluster: dict[str, Any] = field(default_factory=dict)

    @property
    def ports(self) -> Ports:
        return replace(super().ports, **self.cluster)


@dataclass
class ClusterRig(Rig):
    """`settle` first: it makes the namespace production's."""

    world: ClusterWorld = field(default_factory=ClusterWorld)
    api: Api = field(init=False)
    namespace: str = ""
    start_seconds: int = 60
    rate: int = 400
    led: Mapping[Route, RouteSetting | None] = field(default_factory=dict)

    def settle(self, api: Api, kubeconfig: str, namespace: str) -> None:
        """Connect production to a namespace of a cluster."""
        self.api, self.namespace = api, namespace
        self.production.default_plan = PLAN
        self.production.target = TargetKind.SELDON
        self.production.save()
        KubernetesPlace.objects.create(
            tenant=self.cast.acme,
            environment=self.production,
            cluster="test",
            namespace=namespace,
            gateway_url="http://models.test",
            artifacts="s3://models/acme",
            artifacts_secret=SECRET,
            model_image="seldonio/mlserver:1.7.1-mlflow",
        )
        cluster = Cluster(ClusterConfig("test", kubeconfig, seconds=1.0))
        of = (cluster, namespace, "acme", "production")
        image = "seldonio/mlserver:1.7.1-mlflow"
        place = SeldonPlace(
            *of, "s3://models/acme", SECRET, model_image=image, start_seconds=self.start_seconds
        )
        target = SeldonTarget(place)
        self.world.cluster = {
            "target": target,
            "router": IstioRouter(IstioPlace(*of, "http://models.test")),
            "preflight": SeldonPreflight(place, target.plan),
        }

    def tick(self, seconds: float = 1.0, passes: int = 3) -> None:
        time.sleep(MOMENT)
        super().tick(seconds, passes)

    def run(self, release: Release, until: Sequence[str] | str, seconds: int = 240) -> Release:
        """As the rig's, but what has ended otherwise is not waited for."""
        wanted = [until] if isinstance(until, str) else list(until)
        found = super().run(release, [*wanted, *ENDED], seconds)
        assert found.phase in wanted, f"{found.phase}: {found.reason}"
        return found

    def flow(self, requests: int) -> None:
        """Requests go where our VirtualServices lead them, also while these cannot be read."""
        routes = [endpoint.route for endpoint in Endpoint.objects.filter(environment=self.production)]
        with contextlib.suppress(AdapterError):
            self.led = self.world.ports.router.read(routes)
        for setting in filter(None, self.led.values()):
            share = 100 if setting.split.shadow else setting.split.candidate
            parts = ((setting.stable, 100 - setting.split.candidate), (setting.candidate, share))
            for arm, percent in parts:
                if arm is not None:
                    self._serve(arm.ref, requests * percent // 100)

    def _serve(self, ref: str, count: int) -> None:
        version = str(Deployment.objects.get(ref=ref).version.version)
        failed = round(count * self.errors.get(version, 0.0))
        self.world.metrics.serve(ref, ok=count - failed, errors=failed)

    def look(self, times: int = 1) -> None:
        """Time goes by, and the endpoints are looked at as well."""
        for _ in range(times):
            self.tick()
            self.sweep()

    def history_line(self, release: Release, phase: str) -> str:
        """Why it came into a phase."""
        return str(Transition.objects.get(release=release, to_phase=phase).reason)

    def uids(self, ref: str) -> set[str]:
        """The pods of a version."""
        return {pod["metadata"]["uid"] for pod in pods.of(self.api, self.namespace, ref)}

    def weights(self, name: str = "portal-wine") -> dict[str, int]:
        """Service -> its share, in our VirtualService or in the operator's."""
        for_everybody = -1 if name == "portal-wine" else 0
        routes = self.virtual_service(name)["spec"]["http"][for_everybody]["route"]
        found = {each["destination"]["host"].partition(".")[0]: each.get("weight", 0) for each in routes}
        return {service: share for service, share in found.items() if share}

    def seldon_deployment(self) -> Manifest:
        """That of the model."""
        found = self.api.get(SELDON_DEPLOYMENT, "wine", self.namespace)
        assert found
        return found

    def virtual_service(self, name: str = "portal-wine") -> Manifest:
        """Ours, or the operator's."""
        found = self.api.get(VIRTUAL_SERVICE, name, self.namespace)
        assert found
        return found


@pytest.fixture
def rig(db: None, cluster: TestCluster, namespace: str, tmp_path: Path) -> ClusterRig:
    """A portal whose environment production is the namespace; nothing serves yet."""
    made = ClusterRig(tmp_path / "artifacts")
    made.settle(cluster.api, str(cluster.portal), namespace)
    give_away(cluster.api, namespace)
    return made


def give_away(api: Api, namespace: str) -> None:
    """What whoever rules the cluster does for an environment: rights, and the secret for the artifacts."""
    rights.grant(api, [namespace])
    api.create(kubernetes_api.SECRET, {"metadata": {"name": SECRET}}, namespace)


def canary(rig: ClusterRig) -> Release:
    """A release whose split has been seen in effect."""
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    candidate, _ = rig.refs(release)
    until(lambda: len(rig.uids(candidate)) == 2, "the autoscaler's minimum")
    return told(rig, release, "s left")


def told(rig: ClusterRig, release: Release, words: str, ticks: int = 60) -> Release:
    """The release once its reason has these words."""
    for _ in range(ticks):
        release.refresh_from_db()
        if words in release.reason:
            return release
        rig.tick()
    raise AssertionError(f"never said {words!r}: {release.phase}: {release.reason}")
