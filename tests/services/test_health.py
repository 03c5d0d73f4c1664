"""What the workers saw of each engine, as pages read it."""

import pytest

from releases.models import ComponentHealth
from releases.services import health
from tests.fakes import FakeMetrics
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
