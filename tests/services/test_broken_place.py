"""One environment whose cluster is away, hangs or was never named: the others do not notice, and its own
releases can be stopped."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from releases import tasks
from releases.domain.release import Act, TargetState
from releases.models import ComponentHealth, Endpoint, KubernetesPlace, Release
from releases.models.places import TargetKind
from releases.ports import Ports, TargetStatus, Unreachable
from releases.services import commands, reconcile, watchdog
from releases.services.lanes import Lanes
from tests.fakes import FakeWorld
from tests.services.rig import Rig

SHORT = {"steps": [], "grace_seconds": 2}


@pytest.fixture
def far(rig: Rig) -> FakeWorld:
    """Production is on a cluster, with a canary on its way."""
    rig.production.target = TargetKind.SELDON
    rig.production.save()
    rig.serve(rig.register())
    return FakeWorld()


def canary(rig: Rig) -> Release:
    return rig.run(rig.file(rig.register()), "canary")


def by_place(rig: Rig, production: Callable[[], Ports]) -> Callable[[str], Ports]:
    return lambda place: rig.world.ports if place == "local" else production()


def away() -> FakeWorld:
    world = FakeWorld()
    for engine in (world.target, world.router, world.metrics, world.mirror, world.preflight):
        engine.reachable = False
    return world


def nowhere() -> Ports:
    raise LookupError("no such place")


def tick(rig: Rig, ports_of: Callable[[str], Ports], times: int = 1) -> None:
    for _ in range(times):
        rig.tick(passes=0)
        while reconcile.reconcile(ports_of, rig.errands(), rig.clock):
            pass


@pytest.mark.parametrize("production", [lambda: away().ports, nowhere])
def test_releases_elsewhere_go_on_while_one_place_is_broken(
    rig: Rig, far: FakeWorld, production: Callable[[], Ports]
) -> None:
    broken = canary(rig)
    other = rig.file(rig.register(), "staging", plan=SHORT)
    ports_of = by_place(rig, production)
    for _ in range(60):
        tick(rig, ports_of)
        other.refresh_from_db()
        if other.phase == "succeeded":
            break
    assert other.phase == "succeeded"
    broken.refresh_from_db()
    assert broken.phase == "canary"
    assert broken.next_wake_at is not None


def test_release_on_a_place_that_is_away_can_be_aborted_and_ends_when_it_is_back(
    rig: Rig, far: FakeWorld
) -> None:
    release = canary(rig)
    gone = away()
    tick(rig, by_place(rig, lambda: gone.ports), 2)
    release.refresh_from_db()
    assert "does not answer" in release.reason
    commands.act(rig.ada, release.pk, Act.ABORT, "looks wrong", at=rig.at)
    tick(rig, by_place(rig, lambda: gone.ports), 2)
    release.refresh_from_db()
    assert release.phase == "rolling_back"
    assert rig.run(release, "rolled_back").phase == "rolled_back"


def test_release_that_waits_for_a_place_that_is_away_can_be_withdrawn(rig: Rig, far: FakeWorld) -> None:
    gone = away()
    release = rig.run(rig.file(rig.register()), "deploying")
    tick(rig, by_place(rig, lambda: gone.ports), 3)
    release.refresh_from_db()
    assert release.phase == "deploying"
    assert "cannot be reached" in release.reason
    commands.act(rig.ada, release.pk, Act.ABORT, "not today", at=rig.at)
    tick(rig, by_place(rig, lambda: gone.ports))
    release.refresh_from_db()
    assert release.phase == "cancelled"


def test_watchdog_of_a_broken_place_says_so_and_changes_nothing(rig: Rig, far: FakeWorld) -> None:
    before = Endpoint.objects.get().drift
    with pytest.raises(Unreachable):
        watchdog.sweep([rig.production], away().ports, rig.errands(), rig.at)
    assert Endpoint.objects.get().drift == before


def test_pass_over_one_place_takes_no_lease_on_another(rig: Rig, far: FakeWorld) -> None:
    release = canary(rig)
    rig.file(rig.register(), "staging")
    rig.at = rig.at.replace(second=(rig.at.second + 2) % 60)
    assert reconcile.places_due(rig.at) == ["local", rig.production.place]
    assert [row.endpoint.environment.name for row in reconcile.claim(rig.at, "local")] == ["staging"]
    assert [row.pk for row in reconcile.claim(rig.at, rig.production.place)] == [release.pk]
    assert reconcile.places_due(rig.at) == []


class Hanging:
    """An engine of which every call hangs until it is let go."""

    def __init__(self) -> None:
        self.free, self.calls = threading.Event(), 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: object, **kwargs: object) -> Any:
            self.calls += 1
            self.free.wait(20)
            if name == "status":
                refs: Any = args[0]
                return dict.fromkeys(refs, TargetStatus(TargetState.UNKNOWN, "it hangs"))
            raise Unreachable("it hangs")

        return call


@pytest.fixture
def hanging(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rig, Hanging]]:
    """The tasks as the workers run them, with production on a cluster that hangs."""
    rig, engine = Rig(tmp_path_factory.mktemp("rig")), Hanging()
    rig.production.target = TargetKind.SELDON
    rig.production.save()
    everything: Any = engine
    stuck = Ports(**dict.fromkeys(Ports.__dataclass_fields__, everything))
    monkeypatch.setattr(tasks, "ports", lambda place: rig.world.ports if place == "local" else stuck)
    monkeypatch.setattr(tasks, "errands", rig.errands)
    monkeypatch.setattr(tasks, "now", rig.clock)
    monkeypatch.setattr(tasks, "lanes", Lanes())
    yield rig, engine
    engine.free.set()
    _await(lambda: not tasks.lanes._busy)
    connection.close()


def _await(is_so: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_tasks_move_and_sweep_what_is_here_while_a_cluster_hangs(hanging: tuple[Rig, Hanging]) -> None:
    rig, engine = hanging
    stuck = rig.file(rig.register())
    Release.objects.filter(pk=stuck.pk).update(phase="deploying", digest="sha256:" + "0" * 64)
    moving = rig.file(rig.register(), "staging", plan=SHORT)
    slowest = 0.0
    for _ in range(30):
        rig.tick(passes=0)
        began = time.monotonic()
        tasks.reconcile()
        tasks.sweep()
        tasks.read_baselines()
        slowest = max(slowest, time.monotonic() - began)
        moving.refresh_from_db()
        if moving.phase == "succeeded":
            break
    assert moving.phase == "succeeded"
    assert slowest < 5
    _await(lambda: engine.calls == 2)  # of passes and of sweeps; nothing is stable there
    assert tasks.lanes._busy >= {f"{name} {rig.production.place}" for name in ("reconcile", "sweep")}
    assert ComponentHealth.objects.get(name="target", environment=None).state == "up"
    engine.free.set()
    _await(lambda: ComponentHealth.objects.filter(environment=rig.production, state="down").count() == 3)


def test_place_without_a_connection_is_told_on_the_release(hanging: tuple[Rig, Hanging]) -> None:
    from releases.adapters import factory  # the real one

    rig, _ = hanging
    release = rig.file(rig.register())
    Release.objects.filter(pk=release.pk).update(phase="deploying", digest="sha256:" + "0" * 64)
    assert not KubernetesPlace.objects.exists()
    rig.tick(passes=0)
    reconcile.reconcile(factory.ports, rig.errands(), rig.clock, rig.production.place)
    release.refresh_from_db()
    assert release.reason == (
        "the serving target cannot be reached: "
        "nobody has said yet on which cluster and in which namespace production is"
    )
