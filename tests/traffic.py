"""Simulated traffic for a release, judged by the real judge: samples with their evidence, and a verdict."""

from datetime import UTC, datetime, timedelta

import numpy as np

from releases.domain import judge
from releases.domain.judge import ArmFreshness, Freshness, Reading
from releases.domain.verdict import VerdictKind
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
    stops_at_harm: bool = True,
    seed: int = 7,
) -> int:
    """Store a sample a second of both arms from `since` on; returns for how many seconds it went."""
    chance = np.random.default_rng(seed)
    rules = judge.RuleBatch.of([rules_of(release)])
    state = judge.initial_state(1)
    rows: list[Sample] = []
    for second in range(1, seconds + 1):
        at = since + timedelta(seconds=second)
        steps = {}
        rates = (
            ("stable", stable_rate, stable_errors, 1.0),
            ("candidate", candidate_rate, candidate_errors, slower),
        )
        for arm, rate, wrong, factor in rates:
            if arm == "stable" and release.stable_id is None:
                continue
            requests = int(chance.poisson(rate))
            errors = int(chance.binomial(requests, wrong))
            edges = [0.0, *BOUNDS_MS, np.inf]
            counts = np.histogram(factor * chance.lognormal(2.2, 0.5, requests), edges)[0]
            steps[arm] = (requests, errors, [int(count) for count in counts])
        increments = {
            arm: judge.Increments(1.0, requests, errors) for arm, (requests, errors, _) in steps.items()
        }
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
                requests=requests,
                errors=errors,
                latency_counts=counts,
                split_candidate=release.split_candidate,
                harm_evidence=verdict.harm_evidence if arm == "candidate" else None,
                certificate_evidence=verdict.certificate_evidence if arm == "candidate" else None,
            )
            for arm, (requests, errors, counts) in steps.items()
        ]
        release.verdict, release.sampled_at = verdict.to_json(), at.astimezone(UTC)
        if stops_at_harm and verdict.kind is VerdictKind.HARM:
            break
    Sample.objects.bulk_create(rows)
    release.evidence = judge.state_to_bytes(state[0])
    release.latency_bounds = list(BOUNDS_MS)
    release.save(update_fields=["verdict", "sampled_at", "evidence", "latency_bounds"])
    return second
