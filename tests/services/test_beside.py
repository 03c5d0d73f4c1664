"""What happens beside the model: kept out of what is judged, stored, told on the page and in the API."""

import json
from typing import Any

import pytest

from releases.models import ModelVersion, Release, Sample
from releases.models.places import TargetKind
from releases.services import document
from releases.services.queries.beside import Line, beside
from releases.services.queries.samples import series_of
from releases.services.recordings import recorded
from tests.domain.test_composition import BLOCKS, ENSEMBLE
from tests.services.rig import Rig

FEATURES = {"entity": "user", "view_features": ["user_features:age"]}


def composed(rig: Rig, blocks: dict[str, Any]) -> ModelVersion:
    """An ensemble with these blocks, registered."""
    described = {"metadata": {"composition": {**ENSEMBLE, "blocks": blocks}}}
    return rig.register(files={"MLmodel": json.dumps(described).encode()})


@pytest.fixture
def canary(rig: Rig) -> Release:
    """1.1.0 has a cache and features and gets 20 requests a second; 1.0.0 is a plain model."""
    rig.serve(rig.register())
    version = composed(rig, {"cache": BLOCKS["cache"], "features": FEATURES})
    release = rig.run(rig.file(version), "canary")
    candidate, _ = rig.refs(release)
    rig.world.metrics.happen_beside(candidate, cache_hits=0)
    rig.tick()
    return release


def second(rig: Rig, release: Release, hits: int, **more: int) -> Sample:
    """One more second in which so many answers come from the candidate's cache, in 0.5 ms, beside the 20 that
    the model gives."""
    candidate, _ = rig.refs(release)
    rig.world.metrics.serve(candidate, ok=hits, latency_ms=0.5)
    rig.world.metrics.happen_beside(candidate, cache_hits=hits, **more)
    rig.tick()
    return Sample.objects.filter(release=release, arm="candidate").latest("at")


def lines(release: Release) -> dict[str, Line]:
    release = Release.objects.select_related("stable", "version").get(pk=release.pk)
    return {line.name: line for line in beside(release, series_of(release.pk))}


def test_sample_holds_the_models_answers_and_apart_from_them_the_hits(rig: Rig, canary: Release) -> None:
    row = second(rig, canary, 80, cache_misses=20, features_found=95, features_missing=5, member_failures=2)
    assert (row.requests, sum(row.latency_counts), row.latency_counts[0]) == (20, 20, 0)
    assert row.beside_counts == [80, 20, 95, 5, 0, 0, 2]
    told = document.of_sample(row)
    assert told["requests"] == 20
    assert told["beside"]["cache_hits"] == 80
    stable = Sample.objects.filter(release=canary, arm="stable").latest("at")
    assert (stable.requests, stable.beside_counts) == (30, [])
    assert document.of_sample(stable)["beside"] is None


def test_judge_and_replay_see_none_of_the_hits(rig: Rig, canary: Release) -> None:
    for _ in range(5):
        second(rig, canary, 500)
    canary.refresh_from_db()
    verdict = canary.last_verdict()
    assert verdict is not None
    requests = sum(Sample.objects.filter(release=canary, arm="candidate").values_list("requests", flat=True))
    [errors] = [rule for rule in verdict.rules if rule.rule == "errors_vs_stable"]
    assert errors.candidate is not None
    assert errors.candidate.requests == requests
    replayed = [one.sample.candidate for one in recorded(canary)]
    assert sum(one.requests for one in replayed if one) == requests
    assert not any(one.latency_ms[0] for one in replayed if one and one.latency_ms)


def test_baseline_of_a_cached_stable_version_knows_only_the_models_latencies(rig: Rig) -> None:
    endpoint = rig.serve(composed(rig, {"cache": BLOCKS["cache"]}))
    release = rig.run(rig.file(rig.register()), "deploying")
    _, stable = rig.refs(release)
    assert stable is not None
    assert endpoint.stable is not None
    rig.world.metrics.serve(stable, ok=10_000, latency_ms=0.5)
    rig.world.metrics.happen_beside(stable, cache_hits=10_000)
    rig.run(release, "canary")
    rig.tick()
    row = Sample.objects.filter(release=release, arm="stable").latest("at")
    assert row.latency_counts[0] == 0


def test_panel_shows_shares_of_both_arms_where_they_have_the_block(rig: Rig, canary: Release) -> None:
    second(rig, canary, 60, features_found=95, features_missing=5, member_failures=4)
    found = lines(canary)
    hits = found["Answers from the cache"]
    assert hits.stable is None
    assert hits.candidate is not None
    assert hits.candidate.count == 60
    answers = sum(Sample.objects.filter(release=canary, arm="candidate").values_list("requests", flat=True))
    assert hits.candidate.of == 60 + answers
    assert not hits.has_trouble
    missing = found["Features missing"]
    assert missing.candidate is not None
    assert (missing.candidate.count, missing.candidate.of, missing.has_trouble) == (5, 100, True)
    assert not found["Features stale"].has_trouble
    failures = found["Failures of members"]
    assert failures.candidate is not None
    assert (failures.candidate.count, failures.candidate.of) == (4, 2 * answers)


def test_panel_of_versions_with_nothing_beside_them_is_not_there(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    rig.tick()
    assert lines(release) == {}


def test_panel_of_a_cluster_is_not_there_because_nobody_reads_its_model_servers(
    rig: Rig, canary: Release
) -> None:
    assert lines(canary)
    rig.production.target = TargetKind.SELDON
    rig.production.save()
    assert lines(canary) == {}


def test_member_check_names_what_is_inside(rig: Rig) -> None:
    release = rig.run(rig.file(composed(rig, BLOCKS)), "succeeded")
    check = release.checks.get(name="members")
    assert check.outcome == "pass"
    assert check.reason.startswith(
        "ensemble of wine-forest 1.2.0 and wine-boost 1.2.0, with cache and encryption"
    )
    assert release.version.composed_of is not None


def test_composition_that_cannot_be_read_fails_validation_and_is_not_mirrored(rig: Rig) -> None:
    described = {"metadata": {"composition": {**ENSEMBLE, "version": 7}}}
    version = rig.register(files={"MLmodel": json.dumps(described).encode()})
    assert version.composition is None
    release = rig.run(rig.file(version), "rejected")
    assert "composed by something newer" in release.checks.get(name="members").reason
