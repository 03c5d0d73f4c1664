"""What a release's evidence begins with: what stable did before it."""

import json
from collections.abc import Sequence
from datetime import datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from releases.domain import judge
from releases.domain.judge import state as slots
from releases.domain.judge.samples import Floats
from releases.models import Release
from releases.services import reconcile, sampling
from releases.services.world import World, stable_ref
from tests import factories
from tests.fakes import BOUNDS_MS, FakeMetrics

pytestmark = pytest.mark.django_db
AT = timezone.now()
FAST, SLOWER = [0, 0, 440, 10, *[0] * 7], [0, 0, 350, 100, *[0] * 7]


@pytest.fixture
def cast() -> factories.Cast:
    return factories.cast()


def begun(cast: factories.Cast, name: str, samples: Sequence[tuple[int, list[int]]]) -> Release:
    """A release in its first second, of an endpoint whose baseline is these errors and latencies of 450
    answers each."""
    model = factories.model(cast.acme, name)
    place = factories.environment(cast.acme, f"for-{name}")
    at_end = AT.timestamp()
    endpoint = factories.endpoint(place, model, stable=factories.version(model, "1.0.0"))
    lines = [
        json.dumps((at_end - 10 * ago, 10.0, 450, *sample))
        for ago, sample in zip(reversed(range(len(samples))), samples, strict=True)
    ]
    factories.baseline(endpoint, at=AT, samples=lines, bounds_ms=list(BOUNDS_MS))
    return factories.release(endpoint, factories.version(model, "1.1.0"), next_wake_at=AT)


def first_states(at: datetime = AT) -> dict[str, Floats]:
    """The state of each release after its first sample, as a pass takes it."""
    releases = reconcile.claim(at)
    metrics = FakeMetrics()
    metrics.deploy(*(ref for release in releases if (ref := stable_ref(release))))
    world = World(counters=metrics.read(metrics.series))
    taken = sampling.take(releases, world, at.timestamp())
    return {key: judge.state_from_bytes(one.evidence)[None] for key, one in taken.items()}


CALM = [(2, FAST)] * 30
IN_BURSTS = [(0, FAST), (40, SLOWER)] * 20


def test_first_state_knows_the_bounds_of_the_baseline(cast: factories.Cast) -> None:
    calm, bursts = begun(cast, "calm", CALM), begun(cast, "bursts", IN_BURSTS)
    states = first_states()
    assert {*states} == {calm.pk, bursts.pk}
    assert states[calm.pk][0, slots.BOUNDS].tolist() == [5.0, *[0.0] * 7]
    for state in states.values():
        assert judge.weigh(judge.RuleBatch.of([judge.JudgeRules()]), state).harm == pytest.approx(0.0)


def test_first_state_does_not_depend_on_which_others_begin(cast: factories.Cast) -> None:
    one = begun(cast, "bursts", IN_BURSTS)
    alone = first_states()[one.pk]
    others = [begun(cast, "calm", CALM), begun(cast, "quiet", [])]
    Release.objects.update(lease_until=None)
    together = first_states()
    assert {*together} == {one.pk, *(other.pk for other in others)}
    assert together[one.pk].tolist() == alone.tolist()


def test_first_states_need_as_many_queries_for_many_releases_as_for_one(cast: factories.Cast) -> None:
    begun(cast, "first", CALM)
    with CaptureQueriesContext(connection) as of_one:
        first_states()
    for name in ("second", "third", "fourth"):
        begun(cast, name, CALM)
    Release.objects.update(lease_until=None)
    with CaptureQueriesContext(connection) as of_four:
        assert len(first_states()) == 4
    assert len(of_four) == len(of_one)
