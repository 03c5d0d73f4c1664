"""A whole portal in one process: real database, real services, ports in memory, a clock that is turned.

`tick` is what beat does each second. Heavy work is done at once, by the same functions that the workers
call, unless `works` is off: then it gets lost, as messages may.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from releases.domain.version import Change
from releases.models import Endpoint, Environment, ModelVersion, Release, Transition
from releases.services import catalog, commands, smoke, supplies, validate, watchdog
from releases.services.artifacts import ArtifactStore, restore
from releases.services.converge import Errands
from releases.services.reconcile import reconcile
from releases.services.world import candidate_ref, stable_ref
from tenants.access import Actor
from tests import factories
from tests.fakes import FakeWorld

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
QUICK_PLAN: dict[str, Any] = {"steps": [{"weight": 40, "hold_seconds": 20}], "grace_seconds": 5}


@dataclass
class Rig:
    """One tenant with staging and production, one model, and everything that moves it."""

    root: Path
    world: FakeWorld = field(default_factory=FakeWorld)
    at: datetime = START
    works: bool = True
    errors: dict[str, float] = field(default_factory=dict)  # version -> share of its answers
    rate: int = 50

    def __post_init__(self) -> None:
        self.cast = factories.cast()
        self.store = ArtifactStore(self.root)
        self.staging = factories.environment(self.cast.acme, "staging", default_plan={"steps": []})
        self.production = factories.environment(
            self.cast.acme, "production", approvals_required=0, default_plan=QUICK_PLAN
        )
        self.model = factories.model(self.cast.acme)
        self.world.metrics.now = self.at.timestamp()

    @property
    def ada(self) -> Actor:
        return self.cast.actor(self.cast.ada)

    @property
    def ben(self) -> Actor:
        return self.cast.actor(self.cast.ben)

    def clock(self) -> datetime:
        return self.at

    def register(self, change: Change = Change.MINOR, **logged: Any) -> ModelVersion:
        """A training run ends and its model is registered."""
        run_id = f"run-{ModelVersion.objects.count() + 1}"
        self.world.registry.log(run_id, **logged)
        return catalog.register_version(
            self.ada,
            self.world.registry,
            model="wine",
            run_id=run_id,
            artifact_path="model",
            change=change,
            description="",
            at=self.at,
        )

    def file(self, version: ModelVersion, environment: str = "production", **changes: Any) -> Release:
        release, _ = commands.file_release(
            self.ada,
            model="wine",
            version=str(version.version),
            environment=environment,
            at=self.at,
            **changes,
        )
        return release

    def tick(self, seconds: float = 1.0, passes: int = 3) -> None:
        """Time goes by, traffic flows as the gateway splits it, and beat calls."""
        self.at += timedelta(seconds=seconds)
        self.world.metrics.now = self.at.timestamp()
        self.flow(round(self.rate * seconds))
        for _ in range(passes):
            if not reconcile(lambda target: self.world.ports, self.errands(), self.clock):
                break

    def sweep(self) -> None:
        watchdog.sweep(list(Environment.objects.all()), self.world.ports, self.errands(), self.at)

    def flow(self, requests: int) -> None:
        """Spread requests over the arms as they are in effect; whole numbers, so it is repeatable."""
        for setting in self.world.router.in_effect.values():
            share = 100 if setting.split.shadow else setting.split.candidate
            stable = 100 - setting.split.candidate
            parts = (
                (setting.stable, requests * stable // 100),
                (setting.candidate, requests * share // 100),
            )
            for arm, count in parts:
                if arm is None or arm.ref not in self.world.target.deployments:
                    continue
                version = self.world.target.deployments[arm.ref].version
                failed = round(count * self.errors.get(version, 0.0))
                self.world.metrics.serve(arm.ref, ok=count - failed, errors=failed)

    def errands(self) -> Errands:
        if not self.works:
            lost = lambda _: None  # noqa: E731 - one message that nobody gets
            return Errands(lost, lost, lost, lost, lost, store=self.store)
        return Errands(
            validate=lambda pk: validate.validate(pk, self.world.ports, self.store, self.clock),
            smoke=lambda pk: smoke.smoke_test(pk, self.world.ports, self.clock),
            fetch=lambda pk: restore(ModelVersion.objects.get(pk=pk), self.world.registry, self.store),
            mirror=lambda ref: supplies.copy(ref, lambda place: self.world.ports, self.store, self.clock),
            announce=lambda pk: catalog.announce(self.world.registry, Release.objects.get(pk=pk), self.at),
            store=self.store,
        )

    def run(self, release: Release, until: Sequence[str] | str, seconds: int = 240) -> Release:
        """Tick until the release is in one of the phases."""
        wanted = [until] if isinstance(until, str) else until
        for _ in range(seconds):
            release.refresh_from_db()
            if release.phase in wanted:
                return release
            self.tick()
        raise AssertionError(f"{release.phase} after {seconds} s, not {until}: {release.reason}")

    def serve(self, version: ModelVersion, environment: str = "production") -> Endpoint:
        """Make a version stable, by a release of its own."""
        release = self.run(self.file(version, environment), "succeeded")
        self.sweep()
        return Endpoint.objects.get(pk=release.endpoint_id)

    def history(self, release: Release) -> list[str]:
        return list(Transition.objects.filter(release=release).values_list("to_phase", flat=True))

    def reasons(self, release: Release) -> str:
        return "\n".join(Transition.objects.filter(release=release).values_list("reason", flat=True))

    def refs(self, release: Release) -> tuple[str, str | None]:
        """The deployments of candidate and stable."""
        row = Release.objects.select_related(
            "endpoint__tenant", "endpoint__environment", "endpoint__model", "version", "stable"
        ).get(pk=release.pk)
        return candidate_ref(row), stable_ref(row)
