"""The judge at its work on simulated traffic: when does it first find what is looked for?

Must not know which figures are promised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.peers import Argo, Flagger
from bench.streams import (
    ArmSecond,
    Errors,
    Traffic,
    candidate_second,
    failing,
    rate_at,
    rows_of,
    sample_of,
    stable_second,
)
from releases.domain.judge import (
    Decisions,
    Evidence,
    JudgeRules,
    RuleBatch,
    decide,
    fold,
    initial_state,
    weigh,
)
from releases.domain.judge.evidence import merge
from releases.domain.judge.samples import Bools, Floats

Look = Callable[[Decisions], Bools]
LOOKS: Mapping[str, Look] = {
    "harm": lambda decisions: decisions.harm,
    "certified": lambda decisions: decisions.certified,
    "shared_incident": lambda decisions: decisions.shared_incident,
}
RULES = JudgeRules()
SHRUNK = 0.9
"""Releases that have decided are taken out of the batch once it shrinks to this by it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds until first found, infinite where never, (R,): by the judge per look, and by its peers."""

    judge: Mapping[str, Floats]
    flagger: Floats
    argo: Floats


def first_seen(
    traffic: Traffic,
    errors: Errors,
    *,
    seconds: int,
    releases: int,
    seed: int | Sequence[int],
    look: str = "harm",
    rules: JudgeRules = RULES,
    peer_seconds: int = 0,
) -> Found:
    """Watch until every release has decided or the time is over; the peers for `peer_seconds`."""
    rng = np.random.default_rng(seed)
    first = np.full(releases, np.inf)
    peers = Flagger(releases), Argo(releases)
    rows = np.arange(releases)
    table, state = RuleBatch.of([rules] * releases), initial_state(releases)
    for second in range(max(seconds, peer_seconds)):
        watching = second < seconds and bool(np.isinf(first).any())
        if not watching and second >= peer_seconds:
            break
        candidate = candidate_second(rng, traffic, second, releases)
        candidate_errors = failing(rng, candidate, rate_at(errors.candidate, second))
        for peer in peers:
            peer.see(second, candidate, candidate_errors)
        if not watching:
            continue
        stable = stable_second(rng, traffic, second, releases)
        stable_errors = failing(rng, stable, rate_at(errors.stable, second))
        arms = rows_of(stable, rows), rows_of(candidate, rows)
        state = fold(table, state, sample_of(*arms, stable_errors[rows], candidate_errors[rows]))
        seen = LOOKS[look](decide(table, weigh(table, state), np.zeros(len(rows), bool)))
        first[rows[seen & np.isinf(first[rows])]] = second + 1
        left = np.isinf(first[rows])
        if left.sum() <= SHRUNK * len(rows):
            rows, state = rows[left], state[left]
            table = RuleBatch.of([rules] * len(rows))
    return Found({look: first}, peers[0].found, peers[1].found)


def first_seen_side_by_side(
    traffic: Traffic,
    variants: Mapping[str, Errors],
    *,
    seconds: int,
    releases: int,
    seed: int | Sequence[int],
) -> dict[str, Found]:
    """All looks and peers, for several error rates on the same arrivals, latencies and predictions.

    The tests of latencies and predictions do not see errors, so they are folded once and merged with the
    evidence of each variant's errors; that gives just what folding everything for each of them would.
    """
    rng = np.random.default_rng(seed)
    table = RuleBatch.of([RULES] * releases)
    blind = RuleBatch.of([replace(RULES, error_rate_max=None, compare_errors=False)] * releases)
    others, nothing = initial_state(releases), np.zeros(releases)
    states = {name: initial_state(releases) for name in variants}
    peers = {name: (Flagger(releases), Argo(releases)) for name in variants}
    first = {name: {look: np.full(releases, np.inf) for look in LOOKS} for name in variants}
    for second in range(seconds):
        candidate = candidate_second(rng, traffic, second, releases)
        stable = stable_second(rng, traffic, second, releases)
        others = fold(blind, others, sample_of(stable, candidate, nothing, nothing))
        shared = weigh(blind, others)
        bare = ArmSecond(stable.requests, None, None), ArmSecond(candidate.requests, None, None)
        for name, errors in variants.items():
            e_s = failing(rng, stable, rate_at(errors.stable, second))
            e_c = failing(rng, candidate, rate_at(errors.candidate, second))
            for peer in peers[name]:
                peer.see(second, candidate, e_c)
            states[name] = fold(table, states[name], sample_of(*bare, e_s, e_c))
            evidence = with_errors_of(shared, weigh(table, states[name]))
            decisions = decide(table, evidence, np.zeros(releases, bool))
            for look, seen in LOOKS.items():
                found = first[name][look]
                found[np.isinf(found) & seen(decisions)] = second + 1
    return {name: Found(first[name], *(peer.found for peer in peers[name])) for name in variants}


def with_errors_of(shared: Evidence, own: Evidence) -> Evidence:
    """The evidence of errors, and that of all else from another state of the same releases."""
    parts = np.concatenate([own.parts[:, :1], shared.parts[:, 1:]], axis=1)
    return replace(own, parts=parts, harm=merge(parts, own.on), latency=shared.latency)
