"""From evidence to a verdict: what is decided about each release, batched.

    harm             the merged evidence reached 1/alpha; or a limit is broken and the candidate is
                     to blame: it also lost against stable in that, or the limit has to decide alone
    shared_incident  both arms break a limit, and the candidate is not shown to be worse: hold
    unreachable      an arm that is needed cannot be read: hold
    certified        proven below every limit that can be measured, and nothing speaks of harm
    no_data          nothing reaches the candidate: wait
    inconclusive     none of these yet

A limit decides alone without stable, when the comparison is switched off, and when stable gets no
traffic any more; even then stable's own broken limit makes it a shared incident.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.evidence import Evidence, weigh
from releases.domain.judge.forecast import seconds_to_certificate
from releases.domain.judge.latency import SLOW_SHARE
from releases.domain.judge.rules import RuleBatch
from releases.domain.judge.samples import ArmFreshness, Bools, Floats, Freshness, Reading
from releases.domain.judge.scatter import dispersion
from releases.domain.verdict import VerdictKind

SILENCE_SECONDS = 10.0
"""An arm is called silent or unreachable after so long (at once, if nothing was ever seen): one
missed reading is no event."""
STABLE_SILENCE_SECONDS = 30.0
"""Without traffic for so long, stable can take no blame and the limit decides alone."""
SUSPICION = 0.5
"""Share of log(1/alpha) from which evidence speaks of harm: 10 of 100. No certificate above it."""
DOUBT = 2.0
"""Evidence of slowness, or of drift, that withholds the certificate: it falls below 1 as long as nothing
differs, and a small regression that is on its way to be found must not be promoted just before. Not that of
errors, which stands still while nobody fails: a single error would withhold it for hours."""
FORECAST_REQUESTS = 50
"""Fewer requests give no error rate to forecast with."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the evidence of R releases decides, whatever is fresh; arrays (R,) where nothing else is said.

    `proven`: every limit that can be certified is, whatever else speaks.
    `lost`, `lost_latency`: the comparison of errors (of latency) alone reached 1/alpha. `limit_broken`,
    `slow_limit_broken`: the candidate breaks its limit, whoever is to blame. `log_harm`: the evidence that
    rolls back, merged or, where a limit decides alone, that limit's. `driven`: the harm tests that say so
    by e-BH at level alpha, (R, number of HARM_TESTS).
    """

    harm: Bools
    shared_incident: Bools
    proven: Bools
    certified: Bools
    limit_broken: Bools
    slow_limit_broken: Bools
    lost: Bools
    lost_latency: Bools
    log_harm: Floats
    driven: Bools


@dataclass(frozen=True, slots=True)
class Conclusions:
    """The kinds of R verdicts and the figures that their sentences need; arrays (R,).

    `seconds` is NaN without a forecast; `hopeless` where more traffic like this never certifies; each for
    the error limit and the latency limit.
    """

    kinds: tuple[VerdictKind, ...]
    evidence: Evidence
    decisions: Decisions
    seconds: Floats
    hopeless: Bools
    slow_seconds: Floats
    slow_hopeless: Bools


def decide(rules: RuleBatch, evidence: Evidence, stable_silent: Bools) -> Decisions:
    """Weigh evidence against its limits; `stable_silent` as a limit has then to decide alone."""
    bar = rules.log_roll_back
    on = evidence.on
    errors = _Limit(
        broken=rules.limited & (evidence.limit >= rules.log_break),
        stable_broken=rules.limited & rules.has_stable & (evidence.stable_limit >= rules.log_break),
        lost=rules.compares & (evidence.parts[:, 0] >= bar),
        alone=~rules.compares | stable_silent,
    )
    latency = _Limit(
        broken=rules.limits_latency & (evidence.slow_limit >= rules.log_break),
        stable_broken=rules.limits_latency
        & rules.has_stable
        & (evidence.stable_slow_limit >= rules.log_break),
        lost=rules.compares_latency & (evidence.latency >= bar),
        alone=~rules.compares_latency | stable_silent,
    )
    compares, proven = on.any(axis=1), _proven(rules, evidence)
    harm = (compares & (evidence.harm >= bar)) | errors.blamed | latency.blamed
    limits = np.maximum(evidence.limit, evidence.slow_limit)
    suspect = np.maximum(evidence.harm, limits) >= SUSPICION * bar
    suspect |= np.maximum(evidence.latency, evidence.parts[:, 3]) >= np.log(DOUBT)
    alone = np.maximum(
        np.where(errors.alone, evidence.limit, 0.0), np.where(latency.alone, evidence.slow_limit, 0.0)
    )
    return Decisions(
        harm=harm,
        shared_incident=(errors.shared | latency.shared) & ~harm,
        proven=proven,
        certified=proven & ~suspect & ~harm,
        limit_broken=errors.broken,
        slow_limit_broken=latency.broken,
        lost=errors.lost,
        lost_latency=latency.lost,
        log_harm=np.where(compares, np.maximum(evidence.harm, alone), limits),
        driven=_driven(evidence.parts, on, bar),
    )


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit of R releases: who breaks it, whether the candidate also lost against stable in this, and
    whether there is nothing to compare with; arrays (R,)."""

    broken: Bools
    stable_broken: Bools
    lost: Bools
    alone: Bools

    @property
    def blamed(self) -> Bools:
        """Broken, and the candidate is to blame."""
        return self.broken & (self.lost | (self.alone & ~self.stable_broken))

    @property
    def shared(self) -> Bools:
        """Both break it."""
        return self.broken & self.stable_broken


def _proven(rules: RuleBatch, evidence: Evidence) -> Bools:
    """Every limit of the plan that can be certified is, and there is one."""
    slow = rules.limits_latency & evidence.slow_measurable
    errors_proven = ~rules.limited | (evidence.certificate >= rules.log_certify)
    slow_proven = ~slow | (evidence.slow_certificate >= rules.log_certify)
    proven: Bools = (rules.limited | slow) & errors_proven & slow_proven
    return proven


def _driven(parts: Floats, on: Bools, bar: Floats) -> Bools:
    """e-BH: the k largest e-values, for the largest k with E_(k) >= K/(k alpha), K tests in all."""
    values = np.where(on, parts, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    rank = np.arange(1, parts.shape[1] + 1)
    needed = bar[:, None] + np.log(np.maximum(on.sum(axis=1), 1))[:, None] - np.log(rank)
    count = np.where(ranked >= needed, rank, 0).max(axis=1)
    driven = np.zeros_like(on)
    np.put_along_axis(driven, order, rank <= count[:, None], axis=1)
    return driven


def conclude(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> Conclusions:
    """Conclude on each release; (R,) rules, (R, STATE_SIZE) state, R freshnesses."""
    if not len(rules) == len(state) == len(freshness):
        raise ValueError(f"{len(rules)} rules, {len(state)} states, {len(freshness)} freshnesses")
    evidence, decisions = _decided(rules, state, freshness)
    seconds, hopeless = _forecast_errors(rules, state)
    slow_seconds, slow_hopeless = _forecast_latency(rules, state)
    return Conclusions(
        kinds=_kinds(rules, state, freshness, decisions),
        evidence=evidence,
        decisions=decisions,
        seconds=seconds,
        hopeless=hopeless,
        slow_seconds=slow_seconds,
        slow_hopeless=slow_hopeless,
    )


def kinds_of(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> tuple[VerdictKind, ...]:
    """The kinds that `conclude` gives, without the forecasts, which cost more than all else."""
    return _kinds(rules, state, freshness, _decided(rules, state, freshness)[1])


def _decided(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> tuple[Evidence, Decisions]:
    evidence = weigh(rules, state)
    stable_silent = _lasting(
        [fresh.stable.reading is Reading.NO_DATA for fresh in freshness],
        [fresh.stable.seconds for fresh in freshness],
        STABLE_SILENCE_SECONDS,
    )
    return evidence, decide(rules, evidence, stable_silent)


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

    compares = rules.compares | rules.compares_latency | rules.compares_predictions
    unreachable = event(candidates, Reading.UNREACHABLE, candidate_unseen) | (
        compares & event(stables, Reading.UNREACHABLE, stable_unseen)
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


def _forecast_errors(rules: RuleBatch, state: Floats) -> tuple[Floats, Bools]:
    counts = state[:, slots.CANDIDATE_REQUESTS], state[:, slots.CANDIDATE_ERRORS]
    return _forecast(
        rules,
        state,
        state[:, slots.CERTIFICATE],
        counts,
        rules.error_limit,
        rules.limited,
        slots.SCATTER_ERRORS,
    )


def _forecast_latency(rules: RuleBatch, state: Floats) -> tuple[Floats, Bools]:
    counts = state[:, slots.CANDIDATE_TIMED], state[:, slots.CANDIDATE_SLOW]
    share = np.full(len(state), SLOW_SHARE)
    return _forecast(
        rules,
        state,
        state[:, slots.SLOW_CERTIFICATE],
        counts,
        share,
        rules.limits_latency,
        slots.SCATTER_LATENCY,
    )


def _forecast(
    rules: RuleBatch,
    state: Floats,
    certificates: Floats,
    counts: tuple[Floats, Floats],
    limit: Floats,
    limited: Bools,
    scatter: slice,
) -> tuple[Floats, Bools]:
    """Seconds until the certificate of one limit, and where it is out of reach."""
    requests, errors = counts
    recent = state[:, slots.RECENT_SECONDS]
    traffic = state[:, slots.RECENT_CANDIDATE] / np.where(recent > 0, recent, 1.0)
    known = limited & (requests >= FORECAST_REQUESTS)
    rate = errors / np.maximum(requests, 1.0)
    phi = dispersion(state, scatter)
    seconds = seconds_to_certificate(certificates, traffic, rate, limit, rules.log_certify, phi)
    hopeless = known & (traffic > 0) & np.isnan(seconds)
    return np.where(known, seconds, np.nan), hopeless
