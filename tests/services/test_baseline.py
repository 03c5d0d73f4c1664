"""What stable does between releases: sampled, kept for ten minutes, and begun anew when stable changes."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from releases.models import Endpoint, Environment, Release
from releases.services import baseline_sweep
from releases.services.baseline import Baseline, baseline_of
from tests import factories
from tests.fakes import BOUNDS_MS
from tests.services.rig import Rig


def environments() -> list[Environment]:
    return list(Environment.objects.all())


def read(rig: Rig, times: int = 1, seconds: float = 10.0) -> None:
    """Traffic flows and beat calls, so many times."""
    for _ in range(times):
        rig.at += timedelta(seconds=seconds)
        rig.world.metrics.now = rig.at.timestamp()
        rig.flow(round(rig.rate * seconds))
        baseline_sweep.read_baselines(environments(), rig.world.metrics, rig.at)


def known(rig: Rig) -> Baseline:
    found = baseline_of(Endpoint.objects.get(environment=rig.production), rig.at)
    assert found is not None
    return found


@pytest.fixture
def serving(rig: Rig) -> Rig:
    """1.0.0 serves 50 requests a second."""
    rig.serve(rig.register())
    return rig


def test_baseline_after_the_first_reading_is_not_known_yet(serving: Rig):
    read(serving)
    assert baseline_of(Endpoint.objects.get(environment=serving.production), serving.at) is None


def test_baseline_tells_traffic_errors_and_latencies_of_stable(serving: Rig):
    version = Endpoint.objects.get(environment=serving.production).stable
    serving.errors[str(version.version)] = 0.02
    read(serving, 4)
    found = known(serving)
    assert (found.requests, found.errors, found.seconds) == (1500, 30, 30.0)
    assert found.requests_per_second == 50.0
    assert found.error_rate == 0.02
    assert found.bounds_ms == BOUNDS_MS
    assert found.latency == (0, 0, 1500, *(0,) * 8)
    assert found.at == serving.at.timestamp()
    assert found.samples[-1].at - found.samples[0].at == 20.0


def test_baseline_keeps_the_last_sixty_samples(serving: Rig):
    read(serving, 65)
    assert len(known(serving).samples) == 60
    assert known(serving).seconds == 600.0


def test_baseline_of_an_old_reading_says_nothing(serving: Rig):
    read(serving, 3)
    endpoint = Endpoint.objects.get(environment=serving.production)
    assert baseline_of(endpoint, serving.at + timedelta(seconds=300)) is not None
    assert baseline_of(endpoint, serving.at + timedelta(seconds=301)) is None


def test_baseline_when_the_source_is_away_stays_and_covers_the_gap_afterwards(serving: Rig):
    read(serving, 2)
    serving.world.metrics.reachable = False
    read(serving, 3)
    assert len(known(serving).samples) == 1
    serving.world.metrics.reachable = True
    read(serving)
    assert [sample.seconds for sample in known(serving).samples] == [10.0, 40.0]
    assert known(serving).requests_per_second == 50.0


def test_baseline_after_a_long_gap_begins_anew_and_keeps_the_predictions(serving: Rig):
    read(serving, 3)
    serving.world.metrics.reachable = False
    read(serving, 31)
    serving.world.metrics.reachable = True
    read(serving, 2)
    assert [sample.seconds for sample in known(serving).samples] == [10.0]


def test_baseline_after_a_restart_of_the_gateway_counts_no_request_twice(serving: Rig):
    read(serving, 3)
    serving.world.metrics.restart()
    read(serving, 2)
    assert [sample.requests for sample in known(serving).samples] == [500, 500, 500, 500]


def test_baseline_when_the_histogram_has_other_bounds_sums_only_those_of_today(serving: Rig):
    read(serving, 3)
    series = serving.world.metrics.series
    for ref, seen in series.items():
        series[ref] = replace(seen, bounds_ms=tuple(bound + 1 for bound in BOUNDS_MS))
    read(serving, 2)
    found = known(serving)
    assert found.requests == 2000
    assert sum(found.latency) == 500  # the interval in which the bounds changed has none either
    assert found.bounds_ms[0] == 2.0


def test_baseline_after_a_promotion_begins_anew_with_the_new_deployment(serving: Rig):
    read(serving, 4)
    before = known(serving)
    release = serving.file(serving.register())
    serving.run(release, "succeeded")
    endpoint = Endpoint.objects.get(environment=serving.production)
    assert baseline_of(endpoint, serving.at) is None
    serving.sweep()
    read(serving, 2)
    assert known(serving).ref == serving.refs(release)[0] != before.ref
    assert len(known(serving).samples) == 1


def test_baseline_while_a_canary_is_judged_reads_stable_alone(serving: Rig):
    release = serving.run(serving.file(serving.register()), "canary")
    candidate, stable = serving.refs(release)
    serving.tick()
    serving.errors[str(release.version.version)] = 0.5
    read(serving, 3)
    assert known(serving).ref == stable != candidate
    assert known(serving).requests_per_second == 30.0  # 60 % of 50
    assert known(serving).errors == 0


def test_baseline_of_a_source_that_looks_every_twenty_seconds_has_no_seconds_without_requests(serving: Rig):
    metrics = serving.world.metrics
    for number in range(6):
        with metrics.looking_away() if number % 2 else nullcontext():
            read(serving)
    assert [(sample.seconds, sample.requests) for sample in known(serving).samples] == [(20.0, 1000)] * 2


def test_baseline_counts_nothing_of_the_interval_in_which_pods_changed(serving: Rig):
    read(serving, 2)
    for ref in serving.world.metrics.series:
        serving.world.metrics.change_pods(ref, leaving=450)  # the others have counted so much less
    read(serving)
    read(serving)
    assert [(sample.seconds, sample.requests) for sample in known(serving).samples] == [(10.0, 500)] * 2


def test_baseline_read_twice_at_once_takes_one_sample(serving: Rig):
    read(serving, 2)
    baseline_sweep.read_baselines(environments(), serving.world.metrics, serving.at)
    read(serving, 1, seconds=0.5)
    assert len(known(serving).samples) == 1


def test_baseline_counts_predictions_over_restarts(serving: Rig):
    source = serving.world.metrics

    class Predicting:
        def __init__(self, **counts: int) -> None:
            self.counts = counts

        def read(self, refs):
            return {ref: replace(seen, predictions=self.counts) for ref, seen in source.read(refs).items()}

    readings = [{"0": 5, "1": 7}, {"0": 9, "1": 7}, {}, {"0": 12, "1": 7}, {"0": 2, "2": 1}]
    for number, counts in enumerate(readings):
        source.now += 10
        at = serving.at + timedelta(seconds=10 * (number + 1))
        baseline_sweep.read_baselines(environments(), Predicting(**counts), at)
    assert known(serving).predictions == {"0": 14, "1": 7, "2": 1}


def test_baseline_of_many_endpoints_takes_one_question_and_one_statement(serving: Rig, monkeypatch):
    for number in range(30):
        model = factories.model(serving.cast.acme, f"wine-{number}")
        version = factories.version(model)
        factories.endpoint(serving.production, model, stable=version)
    for endpoint in Endpoint.objects.filter(stable__isnull=False):
        ref = baseline_sweep.deployment_ref(endpoint, endpoint.stable, endpoint.stable.digest)
        serving.world.metrics.serve(ref, ok=3)
    asked: list[int] = []
    answer = serving.world.metrics.read
    monkeypatch.setattr(
        serving.world.metrics, "read", lambda refs: asked.append(len(refs)) or answer(list(refs))
    )
    with CaptureQueriesContext(
        connection,
    ) as queries:
        read(serving)
    assert asked == [31]
    assert Endpoint.objects.filter(baseline__has_key="totals").count() == 31
    selects = [q for q in queries if q["sql"].startswith("SELECT")]
    assert len(selects) == 3  # environments (this test), endpoints, and the rows to be written


def test_baseline_leaves_what_others_write_to_the_endpoint(serving: Rig):
    endpoint = Endpoint.objects.get(environment=serving.production)
    answer = serving.world.metrics.read

    class Meddling:
        def read(self, refs):
            Endpoint.objects.filter(pk=endpoint.pk).update(drift="somebody wrote this meanwhile")
            return answer(refs)

    read(serving)
    later = serving.at + timedelta(seconds=10)
    serving.world.metrics.now = later.timestamp()
    baseline_sweep.read_baselines(environments(), Meddling(), later)
    after = Endpoint.objects.get(pk=endpoint.pk)
    assert after.drift == "somebody wrote this meanwhile"
    assert len(after.baseline["samples"]) == 1


def test_baseline_when_stable_changes_during_the_reading_is_not_written(serving: Rig):
    endpoint = Endpoint.objects.get(environment=serving.production)
    other = serving.register()
    answer = serving.world.metrics.read

    class Promoting:
        def read(self, refs):
            Endpoint.objects.filter(pk=endpoint.pk).update(stable=other)
            return answer(refs)

    baseline_sweep.read_baselines(environments(), Promoting(), serving.at + timedelta(seconds=10))
    assert Endpoint.objects.get(pk=endpoint.pk).baseline == {}


def test_baseline_has_a_self_test_that_is_made_anew_after_a_minute(serving: Rig):
    read(serving, 2)
    first = Endpoint.objects.get(environment=serving.production).baseline["self_test"]
    assert known(serving).self_test.sentence.startswith("too little traffic yet")
    read(serving, 5)
    assert Endpoint.objects.get(environment=serving.production).baseline["self_test"] == first
    read(serving)
    assert (
        Endpoint.objects.get(environment=serving.production).baseline["self_test"]["at"] == first["at"] + 60
    )


def test_release_keeps_the_self_test_of_the_moment_when_it_was_filed(serving: Rig):
    version = Endpoint.objects.get(environment=serving.production).stable
    for number in range(60):
        serving.errors[str(version.version)] = 0.3 if number % 4 == 0 else 0.0
        read(serving)
    release = serving.file(serving.register())
    kept = Release.objects.get(pk=release.pk).self_test
    assert kept["warns"]
    assert kept["sentence"].startswith("stable's errors come in bursts (dispersion ")
    assert kept["at"] == serving.at.isoformat().replace("+00:00", "Z")
    read(serving, 5)
    assert Release.objects.get(pk=release.pk).self_test == kept


def test_release_filed_without_a_baseline_has_no_self_test(rig: Rig):
    assert rig.file(rig.register()).self_test == {}
