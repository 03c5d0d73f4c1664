"""Many canaries in the database, all in effect and with traffic. Needs Django to be set up."""

from datetime import datetime
from pathlib import Path

from releases.domain.plan import TrafficSplit
from releases.domain.release import Phase
from releases.domain.routing import Arm, RouteSetting
from releases.models import Release, Sample
from releases.ports import Deployment
from releases.services.artifacts import ArtifactStore
from releases.services.converge import Errands
from releases.services.reconcile import reconcile
from releases.services.traffic import doors
from releases.services.world import candidate_ref, stable_ref
from tests import factories
from tests.fakes import FakeWorld


class Canaries:
    """`count` endpoints with a stable version and a canary at 10 %."""

    def __init__(self, count: int, at: datetime) -> None:
        self.count = count
        self.world = FakeWorld()
        self.tenant = factories.tenant(f"bench-{count}")
        place = factories.environment(self.tenant)
        self.refs: list[tuple[str, str]] = []
        for number in range(count):
            model = factories.model(self.tenant, f"model-{number}")
            stable = factories.version(model, "1.0.0")
            candidate = factories.version(model, "1.1.0", digest="sha256:" + "7" * 64)
            endpoint = factories.endpoint(place, model, stable=stable)
            release = factories.release(
                endpoint, candidate, Phase.CANARY, at=at, next_wake_at=at, plan={"max_canary_seconds": 9_000}
            )
            self.deploy(release)
        lost = lambda _: None  # noqa: E731 - nothing heavy is due
        self.errands = Errands(lost, lost, lost, lost, lost, ArtifactStore(Path("var") / "none"))

    def deploy(self, release: Release) -> None:
        """Both versions run, and the split is in effect."""
        arms = []
        for ref in (stable_ref(release) or "", candidate_ref(release)):
            self.world.target.deployments[ref] = Deployment(ref, "", "", "", "", "", Path())
            self.world.target.ports[ref] = 20_000 + len(self.world.target.ports)
            self.world.metrics.deploy(ref)
            arms.append(Arm(ref, f"127.0.0.1:{self.world.target.ports[ref]}"))
        setting = RouteSetting(TrafficSplit(10), arms[0], arms[1])
        led = doors([release.endpoint])
        self.world.router.in_effect[release.endpoint.route] = led.of(release.endpoint, setting)
        self.refs.append((arms[0].ref, arms[1].ref))

    def serve(self, at: datetime) -> None:
        """A second of traffic: 45 requests to stable and 5 to the candidate, all answered."""
        self.world.metrics.now = at.timestamp()
        for stable, candidate in self.refs:
            self.world.metrics.serve(stable, ok=45)
            self.world.metrics.serve(candidate, ok=5)

    def run(self, at: datetime) -> None:
        """One pass."""
        self.world.metrics.now = at.timestamp()
        reconcile(lambda target: self.world.ports, self.errands, lambda: at)

    def remove(self) -> None:
        """Leave nothing that the next measurement would find due."""
        own = Sample.objects.filter(tenant=self.tenant)
        newest = own.order_by("-at").values_list("at", flat=True)[:1]
        sampled = own.filter(at__in=newest).count()
        if sampled != 2 * self.count:
            errors = Release.objects.exclude(last_error="").values_list("last_error", flat=True)[:1]
            said = f"{sampled} samples of {self.count} releases in the last pass: {list(errors)}"
            raise SystemExit(f"{said}; the figures mean nothing")
        Release.objects.update(next_wake_at=None)
