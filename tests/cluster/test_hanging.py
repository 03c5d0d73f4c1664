"""A cluster that stands still, with the ports as the workers make them: one call is lost, nobody waits."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from releases import tasks
from releases.adapters import factory
from releases.domain.release import Act
from releases.models import ComponentHealth, KubernetesPlace, Release
from releases.models.places import TargetKind
from releases.services import commands, reconcile
from releases.services.lanes import Lanes
from tests.cluster import rights
from tests.cluster.conftest import TestCluster
from tests.services.rig import Rig

ONE_CALL = 5.0  # seconds that a call may take, see ClusterConfig


@pytest.fixture
def rig(
    transactional_db: None,
    cluster: TestCluster,
    namespace: str,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Rig]:
    """Production is the namespace, staging is here; the tasks use the real factory for production."""
    if cluster.box is None:
        pytest.skip("a real cluster is not stopped for a test")
    made = Rig(tmp_path / "artifacts")
    made.production.target = TargetKind.SELDON
    made.production.save()
    KubernetesPlace.objects.create(
        tenant=made.cast.acme,
        environment=made.production,
        cluster="test",
        namespace=namespace,
        gateway_url="http://models.test",
        artifacts="s3://models/acme",
        artifacts_secret="model-artifacts",
    )
    rights.grant(cluster.api, [namespace])
    settings.KUBERNETES_CLUSTERS = {"test": str(cluster.portal)}
    monkeypatch.setattr(factory, "_seldon", factory.SeldonPorts())
    monkeypatch.setattr(
        tasks, "ports", lambda place: made.world.ports if place == "local" else factory.ports(place)
    )
    monkeypatch.setattr(tasks, "errands", made.errands)
    monkeypatch.setattr(tasks, "now", made.clock)
    monkeypatch.setattr(tasks, "lanes", Lanes())
    yield made
    cluster.box.go_on()
    _await(lambda: not tasks.lanes._busy, 4 * ONE_CALL)


def _await(is_so: Callable[[], object], seconds: float) -> float:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() < began + seconds
        time.sleep(0.02)
    return time.monotonic() - began


def test_pass_over_a_cluster_that_stands_still_takes_one_call_and_an_abort_is_stored(
    rig: Rig, cluster: TestCluster
) -> None:
    release = rig.file(rig.register())
    # As a canary of which the gateway, the pods and the counters have to be asked.
    Release.objects.filter(pk=release.pk).update(
        phase="canary", step=1, split_candidate=40, digest="sha256:" + "0" * 64
    )
    assert factory.ports(rig.production.place).target.list() == set()
    cluster.box.pause()  # type: ignore[union-attr]
    commands.act(rig.ada, release.pk, Act.ABORT, "the cluster hangs", at=rig.at)
    rig.tick(passes=0)
    began = time.monotonic()
    reconcile.reconcile(factory.ports, rig.errands(), rig.clock, rig.production.place)
    took = time.monotonic() - began
    release.refresh_from_db()
    assert release.phase == "rolling_back"
    assert took < 1.6 * ONE_CALL
    assert took < reconcile.LEASE.total_seconds() / 2  # nobody else takes it over meanwhile


def test_releases_here_go_on_and_the_tenant_is_told_while_a_cluster_stands_still(
    rig: Rig, cluster: TestCluster
) -> None:
    stuck = rig.file(rig.register())
    Release.objects.filter(pk=stuck.pk).update(phase="deploying", digest="sha256:" + "0" * 64)
    moving = rig.file(rig.register(), "staging", plan={"steps": [], "grace_seconds": 2})
    cluster.box.pause()  # type: ignore[union-attr]
    ticks = []
    for _ in range(40):
        rig.tick(passes=0)
        began = time.monotonic()
        tasks.reconcile()
        ticks.append(time.monotonic() - began)
        tasks.sweep()
        moving.refresh_from_db()
        if moving.phase == "succeeded":
            break
    assert moving.phase == "succeeded"
    assert max(ticks) < ONE_CALL
    down = ComponentHealth.objects.filter(environment=rig.production, state="down")
    _await(lambda: down.count() == 3, 4 * ONE_CALL)
    assert "does not answer" in down[0].detail
    cluster.box.go_on()  # type: ignore[union-attr]
    up = ComponentHealth.objects.filter(environment=rig.production, state="up")

    def swept() -> bool:
        tasks.sweep()
        return up.filter(name="target").exists()

    _await(swept, 6 * ONE_CALL)
