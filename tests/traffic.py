"""Simulated traffic for a release, judged by the real judge: samples with their evidence, and a verdict."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator

from releases.domain import judge
from releases.domain.judge import ArmFreshness, Freshness, Reading
from releases.domain.judge.bins import PredictionBins
from releases.domain.judge.samples import Floats
from releases.domain.verdict import Verdict, VerdictKind
from releases.models import Release, Sample
from releases.services.sampling import rules_of

BOUNDS_MS = (
    1.0,
    2.0,
    3.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    30.0,
    40.0,
    50.0,
    75.0,
    100.0,
    150.0,
    200.0,
    300.0,
    500.0,
)
FRESH = Freshness(ArmFreshness(Reading.DATA), ArmFreshness(Reading.DATA))


def simulate(
    release: Release,
    *,
    since: datetime,
    seconds: int = 60,
    stable_rate: float = 45.0,
    candidate_rate: float = 5.0,
    stable_errors: float = 0.004,
    candidate_errors: float = 0.004,
    slower: float = 1.0,
    predicts: tuple[Sequence[float], Sequence[float]] | None = None,
    shared_from: int | None = None,
    stops_at_harm: bool = True,
    seed: int = 7,
) -> int:
    """Store a sample a second of both arms from `since` on; returns for how many seconds it went.

    `predicts`: the shares of the classes in stable's and the candidate's predictions, counted only when
    given. `shared_from`: the second from which both arms fail one request in five.
    """
    chance = np.random.default_rng(seed)
    bins = PredictionBins(labels=tuple(f"class_{n}" for n in range(len(predicts[0])))) if predicts else None
    rules = judge.RuleBatch.of([replace(rules_of(release), prediction_names=bins.names if bins else ())])
    state = _knowing_stable(predicts, chance)
    rows: list[Sample] = []
    for second in range(1, seconds + 1):
        at = since + timedelta(seconds=second)
        increments = {}
        rates = (
            ("stable", stable_rate, stable_errors, 1.0),
            ("candidate", candidate_rate, candidate_errors, slower),
        )
        for number, (arm, rate, wrong, factor) in enumerate(rates):
            if arm == "stable" and release.stable_id is None:
                continue
            requests = int(chance.poisson(rate))
            share = 0.2 if shared_from is not None and second >= shared_from else wrong
            increments[arm] = judge.Increments(
                1.0,
                requests,
                int(chance.binomial(requests, share)),
                latency_ms=_latencies(factor, requests, chance),
                bounds_ms=BOUNDS_MS,
                predictions=_predictions(predicts[number], requests, chance) if predicts else None,
            )
        sample = judge.Sample(1.0, increments.get("stable"), increments.get("candidate"))
        state = judge.fold(rules, state, judge.SampleBatch.of([sample]))
        verdict = judge.judge(rules, state, [FRESH])[0]
        rows += [
            Sample(
                tenant_id=release.tenant_id,
                release=release,
                at=at,
                arm=arm,
                seconds=1.0,
                requests=step.requests,
                errors=step.errors,
                latency_counts=list(step.latency_ms or ()),
                prediction_counts=list(step.predictions or ()),
                split_candidate=release.split_candidate,
                **(_evidence(verdict) if arm == "candidate" else {}),
            )
            for arm, step in increments.items()
        ]
        release.verdict, release.sampled_at = verdict.to_json(), at.astimezone(UTC)
        if stops_at_harm and verdict.kind is VerdictKind.HARM:
            break
    Sample.objects.bulk_create(rows)
    release.evidence = judge.state_to_bytes(state[0])
    release.latency_bounds = list(BOUNDS_MS)
    release.prediction_bins = bins.to_json() if bins else None
    release.save(update_fields=["verdict", "sampled_at", "evidence", "latency_bounds", "prediction_bins"])
    return second


def _knowing_stable(predicts: tuple[Sequence[float], Sequence[float]] | None, chance: Generator) -> Floats:
    """The state before the first sample, told what stable did in the minutes before."""
    told = judge.Increments(
        0.0,
        0,
        0,
        latency_ms=_latencies(1.0, 5_000, chance),
        bounds_ms=BOUNDS_MS,
        predictions=_predictions(predicts[0], 5_000, chance) if predicts else None,
    )
    return judge.tell_baseline(judge.initial_state(1), judge.SampleBatch.of([judge.Sample(0.0, told, None)]))


def _latencies(factor: float, requests: int, chance: Generator) -> tuple[int, ...]:
    counts = np.histogram(factor * chance.lognormal(2.2, 0.5, requests), [0.0, *BOUNDS_MS, np.inf])[0]
    return tuple(int(count) for count in counts)


def _predictions(shares: Sequence[float], requests: int, chance: Generator) -> tuple[int, ...]:
    """Per class, and none in the bin of what is no class."""
    return (*(int(count) for count in chance.multinomial(requests, shares)), 0)


def _evidence(verdict: Verdict) -> dict[str, float | None]:
    of_rule = verdict.evidence_by_rule
    return {
        "harm_evidence": verdict.harm_evidence,
        "certificate_evidence": verdict.certificate_evidence,
        "errors_evidence": of_rule.get(judge.ERRORS_VS_STABLE),
        "latency_evidence": of_rule.get(judge.LATENCY_VS_STABLE),
        "predictions_evidence": of_rule.get(judge.PREDICTIONS_VS_STABLE),
    }
