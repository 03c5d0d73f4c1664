"""From evidence to a verdict: what is decided about each release, batched.

    harm             the merged evidence reached 1/alpha; or the limit is broken and the candidate
                     is to blame: it also lost against stable, or the limit has to decide alone
    shared_incident  both arms break the limit, and the candidate is not shown to be worse: hold
    unreachable      an arm that is needed cannot be read: hold
    certified        proven below the limit, and nothing speaks of harm
    no_data          nothing reaches the candidate: wait
    inconclusive     none of these yet

The limit decides alone without stable, when the comparison is switched off, and when stable gets no
traffic any more; even then stable's own broken limit makes it a shared incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.evidence import Evidence, weigh
from releases.domain.judge.forecast import seconds_to_certificate
from releases.domain.judge.intervals import confidence_interval
from releases.domain.judge.rules import RuleBatch
from releases.domain.judge.samples import ArmFreshness, Bools, Floats, Freshness, Reading
from releases.domain.verdict import VerdictKind

SILENCE_SECONDS = 10.0
"""An arm is called silent or unreachable after so long (at once, if nothing was ever seen): one
missed reading is no event."""
STABLE_SILENCE_SECONDS = 30.0
"""Without traffic for so long, stable can take no blame and the limit decides alone."""
SUSPICION = 0.5
"""Share of log(1/alpha) from which evidence speaks of harm: 10 of 100. No certificate above it."""
FORECAST_REQUESTS = 50
"""Fewer requests give no error rate to forecast with."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the evidence of R releases decides, whatever is fresh; arrays (R,).

    `lost`: the comparison with stable alone reached 1/alpha. `log_harm`: the evidence that rolls
    back, merged or, where the limit decides alone, the limit's.
    """

    harm: Bools
    shared_incident: Bools
    certified: Bools
    limit_broken: Bools
    lost: Bools
    log_harm: Floats


@dataclass(frozen=True, slots=True)
class Conclusions:
    """The kinds of R verdicts and the figures that their sentences need; arrays (R,).

    Intervals are (low, high) of the arm's error rate. `seconds` is NaN without a forecast;
    `hopeless` where more traffic like this never certifies.
    """

    kinds: tuple[VerdictKind, ...]
    evidence: Evidence
    decisions: Decisions
    seconds: Floats
    hopeless: Bools
    stable_interval: tuple[Floats, Floats]
    candidate_interval: tuple[Floats, Floats]


def decide(rules: RuleBatch, evidence: Evidence, stable_silent: Bools) -> Decisions:
    """Weigh evidence against its limits; `stable_silent` as the limit has then to decide alone."""
    bar = rules.log_roll_back
    limit_broken = rules.limited & (evidence.limit >= bar)
    stable_broken = rules.limited & rules.has_stable & (evidence.stable_limit >= bar)
    lost = rules.compares & (evidence.parts[:, 0] >= bar)
    alone = ~rules.compares | stable_silent
    harm = (rules.compares & (evidence.harm >= bar)) | (limit_broken & (lost | (alone & ~stable_broken)))
    suspect = np.maximum(evidence.harm, evidence.limit) >= SUSPICION * bar
    proven = rules.limited & (evidence.certificate >= rules.log_certify)
    merged_or_limit = np.where(alone, np.maximum(evidence.harm, evidence.limit), evidence.harm)
    return Decisions(
        harm=harm,
        shared_incident=limit_broken & stable_broken & ~harm,
        certified=proven & ~suspect & ~harm,
        limit_broken=limit_broken,
        lost=lost,
        log_harm=np.where(rules.compares, merged_or_limit, evidence.limit),
    )


def conclude(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> Conclusions:
    """Conclude on each release; (R,) rules, (R, STATE_SIZE) state, R freshnesses."""
    if not len(rules) == len(state) == len(freshness):
        raise ValueError(f"{len(rules)} rules, {len(state)} states, {len(freshness)} freshnesses")
    evidence = weigh(rules, state)
    stable_silent = _lasting(
        [fresh.stable.reading is Reading.NO_DATA for fresh in freshness],
        [fresh.stable.seconds for fresh in freshness],
        STABLE_SILENCE_SECONDS,
    )
    decisions = decide(rules, evidence, stable_silent)
    seconds, hopeless = _forecast(rules, state)
    stable_interval, candidate_interval = (
        confidence_interval(state[:, requests], state[:, errors], rules.log_roll_back)
        for requests, errors in (
            (slots.STABLE_REQUESTS, slots.STABLE_ERRORS),
            (slots.CANDIDATE_REQUESTS, slots.CANDIDATE_ERRORS),
        )
    )
    return Conclusions(
        kinds=_kinds(rules, state, freshness, decisions),
        evidence=evidence,
        decisions=decisions,
        seconds=seconds,
        hopeless=hopeless,
        stable_interval=stable_interval,
        candidate_interval=candidate_interval,
    )


def _lasting(so: Sequence[bool], seconds: Sequence[float], longer_than: float) -> Bools:
    return np.array(so, dtype=np.bool_) & (np.array(seconds, dtype=np.float64) > longer_than)


def _kinds(
    rules: RuleBatch, state: Floats, freshness: Sequence[Freshness], decisions: Decisions
) -> tuple[VerdictKind, ...]:
    """Harm first: what was found stays found when figures stop coming. A certificate is not undone
    by silence, but by figures that cannot be read."""
    candidates = [fresh.candidate for fresh in freshness]
    stables = [fresh.stable for fresh in freshness]
    candidate_unseen = state[:, slots.CANDIDATE_REQUESTS] == 0
    stable_unseen = state[:, slots.STABLE_REQUESTS] == 0

    def event(arms: Sequence[ArmFreshness], reading: Reading, unseen: Bools) -> Bools:
        now = [arm.reading is reading for arm in arms]
        lasting = _lasting(now, [arm.seconds for arm in arms], SILENCE_SECONDS)
        return lasting | (np.array(now, dtype=np.bool_) & unseen)

    unreachable = event(candidates, Reading.UNREACHABLE, candidate_unseen) | (
        rules.compares & event(stables, Reading.UNREACHABLE, stable_unseen)
    )
    silent = event(candidates, Reading.NO_DATA, candidate_unseen)
    choice = np.select(
        [
            decisions.harm,
            decisions.shared_incident,
            unreachable,
            decisions.certified,
            silent,
            state[:, slots.ELAPSED] == 0,
        ],
        list(range(6)),
        default=6,
    )
    return tuple(_ORDER[index] for index in choice)


_ORDER = (
    VerdictKind.HARM,
    VerdictKind.SHARED_INCIDENT,
    VerdictKind.UNREACHABLE,
    VerdictKind.CERTIFIED,
    VerdictKind.NO_DATA,
    VerdictKind.NONE,
    VerdictKind.INCONCLUSIVE,
)


def _forecast(rules: RuleBatch, state: Floats) -> tuple[Floats, Bools]:
    requests, errors = state[:, slots.CANDIDATE_REQUESTS], state[:, slots.CANDIDATE_ERRORS]
    recent = state[:, slots.RECENT_SECONDS]
    traffic = state[:, slots.RECENT_CANDIDATE] / np.where(recent > 0, recent, 1.0)
    known = rules.limited & (requests >= FORECAST_REQUESTS)
    seconds = seconds_to_certificate(
        state[:, slots.CERTIFICATE],
        traffic,
        errors / np.maximum(requests, 1.0),
        rules.error_limit,
        rules.log_certify,
    )
    hopeless = known & (traffic > 0) & np.isnan(seconds)
    return np.where(known, seconds, np.nan), hopeless
