"""What a plan would have said of the last releases: on the real PostgreSQL, with stored samples."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from releases.domain.judging_rules import judge_rules
from releases.domain.plan import RolloutPlan
from releases.domain.release import Phase
from releases.domain.replay import read_recording, replay, write_line
from releases.domain.verdict import VerdictKind
from releases.models import Endpoint, Release, Sample
from releases.services import recordings
from releases.services.recordings import MOST_SAMPLES, recorded, recordings_of
from releases.services.retrospective import look_back
from tests import factories
from tests.traffic import BOUNDS_MS, simulate

PLAN = RolloutPlan()


class Past:
    """An endpoint with releases behind it."""

    def __init__(self) -> None:
        self.cast = factories.cast()
        self.wine = factories.model(self.cast.acme)
        stable = factories.version(self.wine, "1.0.0")
        self.endpoint: Endpoint = factories.endpoint(
            factories.environment(self.cast.acme), self.wine, stable=stable
        )
        self.start = timezone.now() - timedelta(days=1)

    def release(self, text: str, phase: Phase = Phase.SUCCEEDED, seconds: int = 0, **traffic: Any) -> Release:
        """A finished release, sampled for so many seconds."""
        version = factories.version(self.wine, text)
        row = factories.release(self.endpoint, version, phase, at=self.start, started_at=self.start)
        if seconds:
            simulate(row, since=self.start, seconds=seconds, stops_at_harm=False, **traffic)
        return row


@pytest.fixture
def past(db: None) -> Past:
    return Past()


def test_look_back_says_of_each_release_what_the_plan_would_have_said(past: Past) -> None:
    bad = past.release("1.1.0", Phase.ROLLED_BACK, 60, candidate_errors=0.5)
    bad.reason = "back on stable"
    bad.save()
    decided = past.start + timedelta(seconds=40)
    factories.walk(
        bad, [(Phase.ROLLING_BACK, decided, "harm: 50 % errors"), (Phase.ROLLED_BACK, decided, "done")]
    )
    past.release("1.2.0", Phase.SUCCEEDED, 400, candidate_errors=0.0, candidate_rate=20.0)
    past.release("1.3.0", Phase.SUCCEEDED, 3)
    looked = look_back(past.endpoint, PLAN)

    assert [said.release.version.version for said in looked.releases] == ["1.3.0", "1.2.0", "1.1.0"]
    short, good, harmed = looked.releases
    assert [said.kind for said in looked.releases] == [
        VerdictKind.INCONCLUSIVE,
        VerdictKind.CERTIFIED,
        VerdictKind.HARM,
    ]
    assert harmed.ending is not None
    assert harmed.ending.at is not None
    assert harmed.ending.at < 10
    assert (harmed.happened.seconds, harmed.happened.reason) == (40, "harm: 50 % errors")
    assert not harmed.differs
    assert good.happened.phase is Phase.SUCCEEDED
    assert short.sampled_seconds == 3
    assert not short.is_decided
    assert looked.sentence == (
        f"would have rolled back 1 of 3: 1.1.0 after {harmed.ending.at:.0f} s; "
        "of the 2 that succeeded it would have stopped 0; "
        "of the 1 that rolled back it would have stopped 1"
    )


def test_look_back_with_a_stricter_plan_differs_from_what_happened(past: Past) -> None:
    past.release(
        "1.1.0", Phase.SUCCEEDED, 200, candidate_errors=0.02, stable_errors=0.02, candidate_rate=20.0
    )
    strict = RolloutPlan.from_json({"rules": {"compare_latency": False, "error_rate_max": 0.001}})
    lenient = RolloutPlan.from_json({"rules": {"error_rate_max": 0.2}})
    for plan, kind, differs in (
        (strict, VerdictKind.SHARED_INCIDENT, False),
        (lenient, VerdictKind.CERTIFIED, False),
    ):
        (said,) = look_back(past.endpoint, plan).releases
        assert (said.kind, said.differs) == (kind, differs)
    past.release("1.2.0", Phase.SUCCEEDED, 200, candidate_errors=0.05, candidate_rate=20.0)
    said = look_back(past.endpoint, PLAN).releases[0]
    assert (said.kind, said.differs) == (VerdictKind.HARM, True)


def test_look_back_takes_the_last_ten_that_had_traffic_and_have_ended(past: Past) -> None:
    for minor in range(12):
        past.release(f"1.{minor}.1", seconds=1)
    rejected = factories.version(past.wine, "2.0.0")
    factories.release(past.endpoint, rejected, Phase.REJECTED)
    factories.release(
        past.endpoint, factories.version(past.wine, "2.0.1"), Phase.CANARY, started_at=past.start
    )
    looked = look_back(past.endpoint, PLAN)
    assert [said.release.version.version for said in looked.releases] == [
        f"1.{minor}.1" for minor in range(11, 1, -1)
    ]


def test_look_back_without_samples_says_so(past: Past) -> None:
    assert look_back(past.endpoint, PLAN).sentence == "no finished release with samples to replay yet"
    past.release("1.1.0")
    looked = look_back(past.endpoint, PLAN)
    assert looked.sentence == "no finished release with samples to replay yet"
    (said,) = looked.releases
    assert (said.kind, said.note) == (None, "no samples of it are kept")


def test_look_back_other_bounds_are_left_out_and_said(past: Past) -> None:
    release = past.release("1.1.0", seconds=90)
    changed = release.samples.filter(at__gt=past.start + timedelta(seconds=60))
    changed.update(latency_counts=[1, 2, 3])
    (recording,) = recordings_of([release])
    assert (
        recording.note == "its latency buckets changed on the way, so latencies of other bounds are left out"
    )
    (said,) = look_back(past.endpoint, PLAN).releases
    assert said.note == recording.note
    assert said.kind is not None
    assert [bool(one.sample.candidate and one.sample.candidate.latency_ms) for one in recording.samples] == [
        one.t <= 60 and bool(one.sample.candidate and one.sample.candidate.requests)
        for one in recording.samples
    ]


def test_recordings_short_releases_are_read_as_they_were_stored(past: Past) -> None:
    first = past.release("1.1.0", seconds=30)
    second = past.release("1.2.0", seconds=20, candidate_errors=0.3, seed=3)
    at = past.start + timedelta(seconds=7)
    first.samples.filter(at=at, arm="candidate").update(missing="unreachable", requests=0, errors=0)
    second.samples.filter(at=at).update(prediction_counts=[4, 0, 1])
    for release, recording in zip((first, second), recordings_of([first, second]), strict=True):
        assert list(recording.samples) == list(recorded(release))
    assert recordings_of([first])[0].samples[6].sample.candidate is None


def test_recordings_merging_keeps_all_counts_and_what_was_lost_apart(past: Past) -> None:
    release = past.release("1.1.0", seconds=2 * MOST_SAMPLES + 100)
    lost = past.start + timedelta(seconds=101), past.start + timedelta(seconds=110)
    release.samples.filter(at__range=lost, arm="stable").update(
        missing="unreachable", requests=0, errors=0, latency_counts=[]
    )
    (recording,) = recordings_of([release])
    samples = [one.sample for one in recording.samples]
    assert len(samples) <= MOST_SAMPLES + 3
    unread = [one.t for one in recording.samples if one.sample.stable is None]
    assert unread == [102, 105, 108, 110]
    assert sum(sample.seconds for sample in samples) == recording.seconds == 2 * MOST_SAMPLES + 100
    for arm in ("stable", "candidate"):
        rows = release.samples.filter(arm=arm)
        increments = [got for sample in samples if (got := getattr(sample, arm))]
        assert sum(one.requests for one in increments) == sum(row.requests for row in rows)
        assert sum(one.errors for one in increments) == sum(row.errors for row in rows)
        stored = np.sum([row.latency_counts for row in rows if row.latency_counts], axis=0)
        assert np.sum([one.latency_ms for one in increments], axis=0).tolist() == stored.tolist()
        assert {one.bounds_ms for one in increments} == {BOUNDS_MS}


def test_recordings_of_a_release_without_stable_judge_the_limit_alone(past: Past) -> None:
    past.endpoint.stable = None
    past.endpoint.save()
    release = past.release("1.1.0", Phase.ROLLED_BACK, 30, candidate_errors=0.3)
    assert not release.samples.filter(arm="stable").exists()
    (said,) = look_back(past.endpoint, PLAN).releases
    assert said.kind is VerdictKind.HARM
    assert said.ending is not None
    assert said.ending.verdict.driven_by == ("error_rate_max",)


def test_recordings_read_no_further_than_they_say(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "LONGEST_SECONDS", 3_600)
    release = past.release("1.1.0", seconds=2)
    late = list(release.samples.all())
    for seconds in (3_599, 3_700):
        for row in late[-2:]:
            row.pk, row.at = None, past.start + timedelta(seconds=seconds)
        Sample.objects.bulk_create(late[-2:])
    (recording,) = recordings_of([release])
    assert (recording.seconds, recording.note) == (3_599, "only its first 1 h are looked at")


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [(0.5, VerdictKind.HARM), (0.0, VerdictKind.CERTIFIED), (0.01, VerdictKind.INCONCLUSIVE)],
)
def test_exported_recording_replays_to_what_was_said_of_the_release(
    past: Past, wrong: float, kind: VerdictKind
) -> None:
    release = past.release("1.1.0", seconds=90, candidate_errors=wrong, candidate_rate=20.0)
    lines = [write_line(one) for one in recorded(release)]
    (ending,) = replay([judge_rules(PLAN)], [list(read_recording(lines))])
    assert ending is not None
    assert ending.verdict.kind is kind
    (said,) = look_back(past.endpoint, PLAN).releases
    assert (said.kind, said.ending and said.ending.at) == (kind, ending.at)


def test_look_back_over_ten_hours_takes_three_queries(past: Past) -> None:
    first = past.release("1.1.0", seconds=100, candidate_errors=0.002)
    others = [past.release(f"1.{minor}.0") for minor in range(2, 11)]
    Release.objects.filter(endpoint=past.endpoint).update(latency_bounds=first.latency_bounds)
    columns = "tenant_id, arm, seconds, requests, client_errors, errors, latency_counts, prediction_counts, "
    columns += "beside_counts, missing, split_candidate"
    with connection.cursor() as cursor:  # each of them an hour: the same hundred seconds again and again
        cursor.execute(
            f"INSERT INTO releases_sample (release_id, at, {columns}) "  # noqa: S608 - constants
            f"SELECT other, at + lap * interval '100 s', {columns} "
            "FROM releases_sample, generate_series(0, 35) AS lap, unnest(%s::text[]) AS other "
            "WHERE release_id = %s AND (lap > 0 OR other <> %s)",
            [[first.pk, *(other.pk for other in others)], first.pk, first.pk],
        )
    assert Sample.objects.count() == 10 * 3_600 * 2
    wide = {"error_rate_max": None, "margin_errors": 10, "margin_latency": 10}
    undecided = RolloutPlan.from_json({"rules": wide, "promotion": "no_harm"})
    with CaptureQueriesContext(connection) as queries:
        looked = look_back(past.endpoint, undecided)
    assert len(queries) == 3
    assert {said.sampled_seconds for said in looked.releases} == {3_600}
    assert {said.kind for said in looked.releases} == {VerdictKind.INCONCLUSIVE}
