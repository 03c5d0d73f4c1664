"""Environments on Kubernetes: what may be set up, and what the workers make of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.errors import Conflict, Invalid, NotFound
from releases.domain.network import Callers, NetworkRules
from releases.domain.release import Phase
from releases.domain.version import Change
from releases.models import AutoscalingPolicy, Endpoint, KubernetesPlace
from releases.ports import Finding, Protection, Refused
from releases.services import commands, places
from tenants.access import NotAllowed
from tenants.models import AuditEvent
from tests import factories
from tests.fakes_around import FakeConnection
from tests.services.rig import QUICK_PLAN, Rig

WANTED = KubernetesConnection(
    cluster="main",
    namespace="acme-production",
    gateway_url="https://models.example.com",
    artifacts="s3://models/acme",
    artifacts_secret="models-s3",
)
FEW = Autoscaling(min_replicas=1, max_replicas=3)


def connect(rig: Rig, name: str = "production", **changes: Any) -> KubernetesPlace:
    wanted = replace(WANTED, **changes)
    return commands.connect(rig.ada, name, wanted, clusters=["main", "edge"], at=rig.at)


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


# ---- connection ----------------------------------------------------------------------------------
def test_connect_moves_an_empty_environment_and_records_before_and_after(rig: Rig) -> None:
    place = connect(rig)
    rig.production.refresh_from_db()
    assert rig.production.place == f"seldon/{rig.production.pk}"
    assert place.connection == WANTED
    connect(rig, cpu_limit="4")
    first, second = AuditEvent.objects.filter(action="environment.connected").order_by("sequence")
    assert first.detail["before"] is None
    assert (second.detail["before"]["cpu_limit"], second.detail["after"]["cpu_limit"]) == ("2", "4")
    assert place.examine_asked_at == rig.at


def test_connect_to_a_cluster_that_is_not_set_up_names_the_clusters_only(rig: Rig) -> None:
    with pytest.raises(Invalid) as refused:
        connect(rig, cluster="mars")
    assert refused.value.fields == {"cluster": ["there is no such cluster; known are edge, main"]}
    assert not KubernetesPlace.objects.exists()


def test_connect_to_anothers_namespace_is_refused_without_saying_whose(rig: Rig) -> None:
    theirs = factories.environment(rig.cast.globex, "secret-lab")
    factories.kubernetes(theirs, namespace=WANTED.namespace)
    with pytest.raises(Invalid) as refused:
        connect(rig)
    assert list(refused.value.fields) == ["namespace"]
    assert not any(word in str(refused.value) for word in ("globex", "Globex", "secret-lab"))
    rig.production.refresh_from_db()
    assert rig.production.target == "local"
    connect(rig, cluster="edge")  # the same name on another cluster is another namespace


@pytest.mark.parametrize("change", [{"namespace": "acme-other"}, {"cluster": "edge"}])
def test_environment_with_a_live_endpoint_stays_where_it_is(rig: Rig, change: dict[str, str]) -> None:
    connect(rig)
    version = factories.version(rig.model, "1.0.0")
    factories.endpoint(rig.production, rig.model, stable=version)
    with pytest.raises(Conflict, match="wine serves there"):
        connect(rig, **change)
    with pytest.raises(Conflict, match="wine serves there"):
        commands.disconnect(rig.ada, "production", at=rig.at)
    assert connect(rig, start_seconds=900).start_seconds == 900  # what is no move is still possible


def test_environment_with_an_active_release_stays_where_it_is(rig: Rig) -> None:
    version = factories.version(rig.model, "1.0.0")
    endpoint = factories.endpoint(rig.production, rig.model)
    factories.release(endpoint, version, Phase.AWAITING_APPROVAL)
    with pytest.raises(Conflict, match=r"wine 1\.0\.0 is being released there"):
        connect(rig)


@pytest.mark.parametrize(
    ("hosts", "refused"),
    [
        ([], []),
        (["models.example.com", ".monitoring"], []),
        ([".example.com", "prometheus.monitoring"], []),
        (["example.com", ".monitoring"], ["gateway_url"]),
        ([".xample.com", ".example.com"], ["prometheus_url"]),
    ],
)
def test_connect_names_only_hosts_that_may_be_asked(rig: Rig, hosts: list[str], refused: list[str]) -> None:
    wanted = replace(WANTED, prometheus_url="http://prometheus.monitoring:9090")

    def attempt() -> KubernetesPlace:
        return commands.connect(rig.ada, "production", wanted, clusters=["main"], hosts=hosts, at=rig.at)

    if not refused:
        assert attempt().connection == wanted
        return
    with pytest.raises(Invalid) as error:
        attempt()
    assert list(error.value.fields) == refused
    assert not KubernetesPlace.objects.exists()


def test_disconnect_forgets_the_place_and_its_policies(rig: Rig) -> None:
    connect(rig)
    commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)
    assert commands.disconnect(rig.ada, "production", at=rig.at).target == "local"
    assert not KubernetesPlace.objects.exists()
    assert not AutoscalingPolicy.objects.exists()
    assert AuditEvent.objects.order_by("sequence").last().detail["after"] is None  # type: ignore[union-attr]


def test_places_are_set_up_by_administrators_of_the_tenant_alone(rig: Rig) -> None:
    mallory, cleo = rig.cast.actor(rig.cast.mallory), rig.cast.actor(rig.cast.cleo)
    connect(rig)
    calls: list[Any] = [
        lambda who: commands.connect(who, "production", WANTED, clusters=["main"], at=rig.at),
        lambda who: commands.disconnect(who, "production", at=rig.at),
        lambda who: commands.set_autoscaling(who, "production", None, FEW, at=rig.at),
        lambda who: commands.set_protection(who, "production", None, Callers(), at=rig.at),
        lambda who: commands.ask_for_examination(who, "production", at=rig.at),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call(mallory)
        with pytest.raises(NotAllowed):
            call(cleo)


# ---- autoscaling ---------------------------------------------------------------------------------
def test_autoscaling_of_a_model_goes_before_that_of_its_environment(rig: Rig) -> None:
    connect(rig)
    version = rig.register(Change.MINOR)
    endpoint = rig.serve(version)
    ref = next(iter(rig.world.target.deployments))
    assert rig.world.target.deployments[ref].autoscaling == Autoscaling()
    commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)
    rig.sweep()
    assert rig.world.target.deployments[ref].autoscaling == FEW
    own = replace(FEW, max_replicas=9)
    commands.set_autoscaling(rig.ada, "production", "wine", own, at=rig.at)
    rig.sweep()
    assert rig.world.target.deployments[ref].autoscaling == own
    commands.set_autoscaling(rig.ada, "production", "wine", None, at=rig.at)
    rig.sweep()
    assert rig.world.target.deployments[ref].autoscaling == FEW
    rig.sweep()
    endpoint.refresh_from_db()
    assert endpoint.drift == ""


def test_autoscaler_changed_by_hand_is_told_and_set_again(rig: Rig) -> None:
    connect(rig)
    endpoint = rig.serve(rig.register(Change.MINOR))
    ref = next(iter(rig.world.target.deployments))
    rig.world.target.scaled[ref] = FEW
    rig.sweep()
    endpoint.refresh_from_db()
    assert "in effect are 1 to 3 replicas" in endpoint.drift
    assert AuditEvent.objects.get(action="endpoint.rescaled").detail == {"found": endpoint.drift}
    rig.sweep()
    endpoint.refresh_from_db()
    assert endpoint.drift == ""
    assert rig.world.target.scaled == {}


def test_autoscaling_that_changes_during_a_canary_reaches_both_versions(rig: Rig) -> None:
    connect(rig)
    rig.serve(rig.register(Change.MINOR))
    release = rig.run(rig.file(rig.register(Change.MINOR)), "canary")
    commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)
    rig.sweep()
    scaled = {ref: one.autoscaling for ref, one in rig.world.target.deployments.items()}
    candidate, stable = rig.refs(release)
    assert scaled == {candidate: FEW, stable: FEW}
    assert "autoscaling" in Endpoint.objects.get(pk=release.endpoint_id).drift
    rig.sweep()
    assert Endpoint.objects.get(pk=release.endpoint_id).drift == ""


def test_autoscaling_of_a_local_environment_is_a_conflict_and_nothing_scales(rig: Rig) -> None:
    rig.serve(rig.register(Change.MINOR))
    assert [one.autoscaling for one in rig.world.target.deployments.values()] == [None]
    with pytest.raises(Conflict, match="where nothing scales"):
        commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)


def test_autoscaling_that_is_what_it_was_leaves_no_trace(rig: Rig) -> None:
    connect(rig)
    commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)
    before = actions()
    commands.set_autoscaling(rig.ada, "production", None, FEW, at=rig.at)
    assert actions() == before


# ---- protection ----------------------------------------------------------------------------------
def test_protection_is_applied_by_the_next_sweep_and_is_no_repair(rig: Rig) -> None:
    connect(rig)
    rules, callers = NetworkRules(models_port=8000), Callers(namespaces=("shop",))
    commands.set_protection(rig.ada, "production", rules, callers, at=rig.at)
    rig.sweep()
    assert rig.world.guard.in_effect == {
        ("acme", "production"): Protection("acme", "production", rules, callers)
    }
    assert "environment.repaired" not in actions()
    assert actions()[-2:] == ["protection.changed", "environment.protected"]


def test_protection_changed_in_the_cluster_is_repaired_once_and_recorded(rig: Rig) -> None:
    connect(rig)
    rig.sweep()
    rig.world.guard.in_effect.clear()
    rig.at += timedelta(seconds=5)
    rig.sweep()
    place = KubernetesPlace.objects.get()
    assert place.drift == ["the policies are not as they should be"]
    assert place.looked_at == rig.at
    assert rig.world.guard.in_effect
    rig.sweep()
    place.refresh_from_db()
    assert place.drift == []
    assert actions().count("environment.repaired") == 1


def test_protection_that_the_cluster_refuses_says_so_until_it_is_taken(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(rig)

    def refuse(wanted: Protection) -> None:
        raise Refused("networkpolicies is forbidden")

    with monkeypatch.context() as patched:
        patched.setattr(rig.world.guard, "apply", refuse)
        rig.sweep()
    place = KubernetesPlace.objects.get()
    assert place.drift == ["the policies cannot be brought about: networkpolicies is forbidden"]
    rig.sweep()
    place.refresh_from_db()
    assert place.drift == []
    assert rig.world.guard.in_effect


def test_weakness_that_nothing_cures_stands_there_and_is_never_recorded_as_a_repair(rig: Rig) -> None:
    connect(rig)
    rig.world.guard.weak = ["no pod has a sidecar"]
    rig.sweep()
    rig.sweep()
    assert KubernetesPlace.objects.get().drift == ["no pod has a sidecar"]
    assert "environment.repaired" not in actions()


def test_protection_of_a_local_environment_is_a_conflict(rig: Rig) -> None:
    with pytest.raises(Conflict, match="no network policy applies"):
        commands.set_protection(rig.ada, "production", NetworkRules(), Callers(), at=rig.at)


# ---- examination ---------------------------------------------------------------------------------
def test_examination_is_due_when_asked_for_and_keeps_what_it_found(rig: Rig) -> None:
    connect(rig)
    assert places.to_examine() == [rig.production.pk]
    found = [Finding("namespace", False, "is not labelled for acme")]
    places.examine(rig.production.pk, FakeConnection(found), rig.clock)
    assert places.to_examine() == []
    assert KubernetesPlace.objects.get().findings == [
        {"name": "namespace", "is_good": False, "said": "is not labelled for acme"}
    ]
    rig.at += timedelta(seconds=1)
    commands.ask_for_examination(rig.ada, "production", at=rig.at)
    assert places.to_examine() == [rig.production.pk]


def test_examination_of_a_local_environment_is_a_conflict(rig: Rig) -> None:
    with pytest.raises(Conflict, match="no connection to test"):
        commands.ask_for_examination(rig.ada, "production", at=rig.at)


def test_release_to_kubernetes_runs_to_its_end_like_any_other(rig: Rig) -> None:
    connect(rig)
    rig.serve(rig.register(Change.MINOR))
    release = rig.file(rig.register(Change.MINOR), plan=QUICK_PLAN)
    assert rig.run(release, "succeeded").phase == "succeeded"
