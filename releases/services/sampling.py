"""From cumulative counters to samples, evidence and a verdict, for many releases at once.

Evidence and the totals it was folded from are returned together and stored in one transaction, so that
a reading is folded exactly once. Decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from math import inf
from typing import Any

import numpy as np

from releases.domain import judge
from releases.domain.judge import ArmFreshness, Freshness, Increments, JudgeRules, Reading, Totals
from releases.domain.judge.bins import PredictionBins, choose
from releases.domain.judge.latency import KNOWN_ANSWERS
from releases.domain.judge.samples import Floats
from releases.domain.judging_rules import judge_rules
from releases.domain.verdict import Verdict
from releases.models import Endpoint, Release, Sample
from releases.ports import Counters, Missing
from releases.services.baseline import Baseline, baseline_of
from releases.services.world import World, candidate_ref, stable_ref

# Two passes may follow each other at once; a sample of a few milliseconds says nothing.
SHORTEST_SAMPLE = 0.4
_TOTALS = tuple(field.name for field in fields(Totals))


@dataclass(frozen=True, slots=True)
class Taken:
    """What one look at the counters of a release gave; to be stored as a whole."""

    rows: list[Sample]
    evidence: bytes
    counters: dict[str, Any]
    verdict: Verdict
    at: datetime
    bounds: tuple[float, ...]
    bins: PredictionBins | None


@dataclass(frozen=True, slots=True)
class _ArmReading:
    """One arm: its newest totals, the increments since the last ones, how fresh that is, and of which moment
    by the source's clock."""

    found: Counters | None
    totals: Totals | None
    increments: Increments | None
    client_errors: int
    freshness: ArmFreshness
    since: float
    missing: str
    seen: float | None


def take(releases: Sequence[Release], world: World, at: float) -> dict[str, Taken]:
    """Sample, fold and judge all releases whose last sample is old enough, and of which there is news.

    Raises when one of them cannot be read (stored evidence of another layout, a broken plan)."""
    due = [r for r in releases if _is_due(r, world, at)]
    bins = [_bins(release, world) for release in due]
    arms = [
        (_read(r, "stable", world, of, at), _read(r, "candidate", world, of, at))
        for r, of in zip(due, bins, strict=True)
    ]
    return _judge(due, arms, bins, at) if due else {}


def _is_due(release: Release, world: World, at: float) -> bool:
    """A source that looks only now and then stands still in between: that is no second without requests. And
    it looks at the arms one after the other: a sample has news of both, or they could not be compared."""
    if release.sampled_at is None:
        return True
    if at - release.sampled_at.timestamp() < SHORTEST_SAMPLE:
        return False
    arms = (("stable", stable_ref(release)), ("candidate", candidate_ref(release)))
    found = ((release.counters.get(arm) or {}, world.counters.get(ref)) for arm, ref in arms if ref)
    return not any(isinstance(new, Counters) and new.at <= old.get("seen", -inf) for old, new in found)


def rules_of(release: Release) -> JudgeRules:
    """The judge's rules out of the frozen plan and the present split."""
    compared = release.stable_id is not None and release.split_candidate < 100
    return judge_rules(release.rollout_plan(), has_stable=compared)


def _bins(release: Release, world: World) -> PredictionBins | None:
    """The bins of the release; chosen from what stable has predicted, as soon as that is enough."""
    if release.prediction_bins:
        return PredictionBins.from_json(release.prediction_bins)
    ref = stable_ref(release)
    found = world.counters.get(ref) if ref else None
    return choose(found.predictions) if isinstance(found, Counters) else None


def _judge(
    releases: Sequence[Release],
    arms: Sequence[tuple[_ArmReading, _ArmReading]],
    bins: Sequence[PredictionBins | None],
    at: float,
) -> dict[str, Taken]:
    rules = judge.RuleBatch.of(
        [
            replace(rules_of(release), prediction_names=of.names if of else ())
            for release, of in zip(releases, bins, strict=True)
        ]
    )
    beginners = [
        (release, stable) for release, (stable, _) in zip(releases, arms, strict=True) if not release.evidence
    ]
    begun = iter(_begin(beginners, at) if beginners else ())
    state = np.vstack(
        [
            judge.state_from_bytes(bytes(release.evidence)) if release.evidence else next(begun)
            for release in releases
        ]
    )
    lengths = [_length(release, at) for release in releases]
    samples = judge.SampleBatch.of(
        [
            judge.Sample(length, stable.increments, candidate.increments)
            for length, (stable, candidate) in zip(lengths, arms, strict=True)
        ]
    )
    state = judge.fold(rules, state, samples)
    freshness = [
        Freshness(
            candidate.freshness,
            stable.freshness if rule.has_stable else ArmFreshness(Reading.DATA),
        )
        for rule, (stable, candidate) in zip(rules.rules, arms, strict=True)
    ]
    verdicts = judge.judge(rules, state, freshness)
    moment = datetime.fromtimestamp(at, UTC)
    return {
        release.pk: Taken(
            rows=_rows(release, moment, length, stable, candidate, verdict),
            evidence=judge.state_to_bytes(row),
            counters={"stable": _stored(stable), "candidate": _stored(candidate)},
            verdict=verdict,
            at=moment,
            bounds=candidate.totals.bounds_ms if candidate.totals else (),
            bins=of,
        )
        for release, length, (stable, candidate), of, row, verdict in zip(
            releases, lengths, arms, bins, state, verdicts, strict=True
        )
    }


def _begin(beginners: Sequence[tuple[Release, _ArmReading]], at: float) -> Floats:
    """The state of releases that were never sampled, told what stable did before; one query."""
    moment = datetime.fromtimestamp(at, UTC)
    rows = Endpoint.objects.filter(pk__in=[release.endpoint_id for release, _ in beginners])
    endpoints = rows.only("stable_id", "baseline").in_bulk()
    baselines = [
        baseline_of(endpoints[release.endpoint_id], moment) if release.stable_id and stable.found else None
        for release, stable in beginners
    ]
    known = [
        judge.Sample(0.0, _known_of_stable(stable, baseline) if release.stable_id else None, None)
        for (release, stable), baseline in zip(beginners, baselines, strict=True)
    ]
    return judge.tell_baseline(judge.initial_state(len(beginners)), judge.SampleBatch.of(known))


def _known_of_stable(stable: _ArmReading, baseline: Baseline | None) -> Increments | None:
    """Its latencies in the last minutes, or else since its counters began; None when it cannot be read."""
    found = stable.found
    if found is None:
        return None
    hits = found.beside.get("cache_hits", 0)  # not the model's answers, as in `judge.advance`
    bounds, answers = found.bounds_ms, judge.without_fastest(found.latency_ms, hits)
    if baseline is not None and baseline.latency and sum(baseline.latency) >= KNOWN_ANSWERS:
        bounds, answers = baseline.bounds_ms, baseline.latency
    return Increments(
        seconds=0.0,
        requests=0,
        errors=0,
        latency_ms=answers or None,
        bounds_ms=bounds,
        predictions=stable.totals.predictions if stable.totals else None,
    )


def _length(release: Release, at: float) -> float:
    return 0.0 if release.sampled_at is None else max(0.0, at - release.sampled_at.timestamp())


def _read(release: Release, arm: str, world: World, bins: PredictionBins | None, at: float) -> _ArmReading:
    stored = release.counters.get(arm) or {}
    ref = stable_ref(release) if arm == "stable" else candidate_ref(release)
    found = world.counters.get(ref) if ref else None
    previous = _totals(stored.get("totals"))
    current: Totals | None = None
    step: Increments | None = None
    client_errors = 0
    if isinstance(found, Counters):
        # Both arms are read in one call: the pass's own time keeps them and the sample in step.
        current = _as_totals(found, bins, at)
        step, current = judge.advance(previous, current)
        if step is not None and previous is not None:
            client_errors = max(0, current.client_errors - previous.client_errors)
            client_errors = min(client_errors, step.requests)
        reading = Reading.DATA if step is not None and step.requests else Reading.NO_DATA
        missing = Missing.NO_DATA.value if step is None else ""
    elif found is Missing.UNREACHABLE:
        reading, missing = Reading.UNREACHABLE, Missing.UNREACHABLE.value
    else:
        reading, missing = Reading.NO_DATA, Missing.NO_DATA.value
    since = at
    if stored.get("reading") == reading.value:
        since = min(at, float(stored.get("since", at)))
    freshness = ArmFreshness(reading, at - since)
    counters = found if isinstance(found, Counters) else None
    seen = counters.at if counters else stored.get("seen")
    return _ArmReading(counters, current or previous, step, client_errors, freshness, since, missing, seen)


def _as_totals(found: Counters, bins: PredictionBins | None, at: float) -> Totals:
    return Totals(
        at=at,
        ok=found.ok,
        client_errors=found.client_errors,
        errors=found.errors,
        latency_ms=found.latency_ms,
        bounds_ms=found.bounds_ms,
        predictions=bins.count(found.predictions) if bins and found.predictions else (),
        series=found.series,
        beside=tuple(found.beside.get(name, 0) for name in judge.BESIDE) if found.beside else (),
    )


def _totals(stored: Mapping[str, Any] | None) -> Totals | None:
    if not stored:
        return None
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return Totals(**values)


def _stored(reading: _ArmReading) -> dict[str, Any]:
    totals = reading.totals
    return {
        # By hand: `dataclasses.asdict` copies deeply, which 1,000 releases a second would feel.
        "totals": totals and {name: getattr(totals, name) for name in _TOTALS},
        "reading": reading.freshness.reading.value,
        "since": reading.since,
    } | ({} if reading.seen is None else {"seen": reading.seen})


def _rows(
    release: Release,
    at: datetime,
    seconds: float,
    stable: _ArmReading,
    candidate: _ArmReading,
    verdict: Verdict,
) -> list[Sample]:
    rows = []
    for arm, reading in (("stable", stable), ("candidate", candidate)):
        if arm == "stable" and release.stable_id is None:
            continue
        step = reading.increments
        row = Sample(
            tenant_id=release.tenant_id,
            release_id=release.pk,
            at=at,
            arm=arm,
            seconds=seconds,
            requests=step.requests if step else 0,
            errors=step.errors if step else 0,
            client_errors=reading.client_errors,
            latency_counts=list(step.latency_ms or ()) if step else [],
            prediction_counts=list(step.predictions or ()) if step else [],
            beside_counts=list(step.beside) if step and any(step.beside) else [],
            missing=reading.missing,
            split_candidate=release.split_candidate,
        )
        if arm == "candidate":
            row.harm_evidence = verdict.harm_evidence
            row.certificate_evidence = verdict.certificate_evidence
            of_rule = verdict.evidence_by_rule
            row.errors_evidence = of_rule.get(judge.ERRORS_VS_STABLE)
            row.latency_evidence = of_rule.get(judge.LATENCY_VS_STABLE)
            row.predictions_evidence = of_rule.get(judge.PREDICTIONS_VS_STABLE)
        rows.append(row)
    return rows
