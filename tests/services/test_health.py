"""What the workers saw of each engine, as pages read it."""

import pytest

from releases.models import ComponentHealth
from releases.models.places import TargetKind
from releases.services import health
from tests import factories
from tests.fakes import FakeMetrics, FakeWorld
from tests.services.rig import START


@pytest.mark.django_db
def test_metric_source_that_answers_and_then_does_not_is_up_and_then_down() -> None:
    source = FakeMetrics()
    assert health.noting("metrics", START, lambda: health.ask_metrics(source))
    assert ComponentHealth.objects.get(name="metrics").state == "up"
    source.reachable = False
    assert not health.noting("metrics", START, lambda: health.ask_metrics(source))
    row = ComponentHealth.objects.get(name="metrics")
    assert (row.state, row.detail) == ("down", "the metric source does not answer")


@pytest.mark.django_db
def test_engines_of_an_environment_on_a_cluster_are_its_own_and_disappear_with_it() -> None:
    acme = factories.tenant("acme")
    here = factories.environment(acme, "staging")
    there = factories.environment(acme, "production", target=TargetKind.SELDON)
    well, away = FakeWorld(), FakeWorld()
    away.target.reachable = away.router.reachable = away.metrics.reachable = False
    health.note_place([here], well.ports, START)
    health.note_place([there], away.ports, START)
    health.note("mlflow", START)

    def states() -> dict[tuple[str, int | None], str]:
        return {(row.name, row.environment_id): row.state for row in ComponentHealth.objects.all()}

    shared = {("mlflow", None): "up"}
    local = {(name, None): "up" for name in health.OF_A_PLACE}
    assert states() == shared | local | {(name, there.pk): "down" for name in health.OF_A_PLACE}
    health.forget_the_gone()
    assert len(states()) == 7
    there.target = TargetKind.LOCAL
    there.save()
    health.forget_the_gone()
    assert states() == shared | local
    for environment in (here, there):
        environment.delete()
    health.forget_the_gone()
    assert states() == shared
