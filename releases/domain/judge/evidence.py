"""Folds samples into the state and weighs it: e-processes, batched over releases.

    M_t(g) = B_t(g) (M_{t-1}(g) + w_t),   E_t = mean_g M_t(g) + what of the weight is not yet spent

Half of the weight is spent at the beginning, the rest geometrically in wall time, so that a
regression which begins late is found as fast. E_t has expectation at most 1 at every stopping time
under its null, and P(ever E_t >= 1/alpha) <= alpha (Ville). After Shin, Ramdas & Rinaldo, NEJSDS
2024. All is kept as logarithms. Must not know what a verdict is, nor the words for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.factors import (
    log_certificate_factor,
    log_limit_factor,
    log_relative_factor,
)
from releases.domain.judge.rules import ERRORS_VS_STABLE, RuleBatch
from releases.domain.judge.samples import Bools, Floats, SampleBatch

RESTART_MEAN_SECONDS = 600.0
"""Mean of the geometric law by which restart weight is spent."""
RECENT_MEAN_SECONDS = 30.0
"""The present traffic is a mean that fades with this time."""

HARM_TESTS: tuple[tuple[str, float], ...] = ((ERRORS_VS_STABLE, 0.5),)
"""The tests that are merged into the evidence of harm, with their weights. Those that are off give
theirs to the others in proportion."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-evidence of R releases.

    `harm`: merged over the harm tests, (R,). `parts`: each of them, (R, number of HARM_TESTS).
    `limit`, `stable_limit`: that an arm breaks the error limit, (R,). `certificate`: that the
    candidate keeps it, (R,). A rule that is off has log-evidence 0.
    """

    harm: Floats
    parts: Floats
    limit: Floats
    stable_limit: Floats
    certificate: Floats


def fold(rules: RuleBatch, state: Floats, samples: SampleBatch) -> Floats:
    """The state after one more sample of each release; (R, STATE_SIZE) -> (R, STATE_SIZE).

    A change of the split needs nothing here, and must never lead to a new state.
    """
    if not len(rules) == len(state) == len(samples):
        raise ValueError(f"{len(rules)} rules, {len(state)} states, {len(samples)} samples")
    after = state.copy()
    judged = state[:, slots.ELAPSED] >= rules.warm_up_seconds
    after[:, slots.ELAPSED] += samples.seconds
    log_weight = _spend(after, np.where(judged, samples.seconds, 0.0))
    stable, candidate = judged & samples.stable_present, judged & samples.candidate_present
    counts = np.stack(
        [
            np.where(stable, samples.stable_requests, 0.0),
            np.where(stable, samples.stable_errors, 0.0),
            np.where(candidate, samples.candidate_requests, 0.0),
            np.where(candidate, samples.candidate_errors, 0.0),
        ],
        axis=1,
    )
    after[:, slots.STABLE_REQUESTS : slots.CANDIDATE_ERRORS + 1] += counts
    _fold_comparison(rules, after, samples, counts, judged, log_weight)
    _fold_limits(rules, after, counts, log_weight)
    _fold_traffic(after, samples)
    return after


def weigh(rules: RuleBatch, state: Floats) -> Evidence:
    """The evidence that a state holds."""
    unspent = _log_unspent(state[:, slots.JUDGED])
    relative = np.where(rules.compares, _log_total(state[:, slots.REL], unspent), 0.0)
    parts = relative[:, None]
    limited = rules.limited
    return Evidence(
        harm=merge(parts, rules.compares[:, None]),
        parts=parts,
        limit=np.where(limited, _log_total(state[:, slots.LIMIT], unspent), 0.0),
        stable_limit=np.where(
            limited & rules.has_stable, _log_total(state[:, slots.STABLE_LIMIT], unspent), 0.0
        ),
        certificate=np.where(limited, log_mean_exp(state[:, slots.CERTIFICATE]), 0.0),
    )


def merge(parts: Floats, on: Bools) -> Floats:
    """Log of the weighted mean of e-values; (R, tests), (R, tests) -> (R,). 0 where all are off."""
    weights = np.where(on, np.array([weight for _, weight in HARM_TESTS]), 0.0)
    total = weights.sum(axis=1)
    any_on = total > 0
    weights = np.where(any_on[:, None], weights, 1.0 / len(HARM_TESTS))
    top = parts.max(axis=1)
    mean = (weights * np.exp(parts - top[:, None])).sum(axis=1) / weights.sum(axis=1)
    merged: Floats = np.where(any_on, top + np.log(np.maximum(mean, 1e-300)), 0.0)
    return merged


def log_mean_exp(logs: Floats) -> Floats:
    """log of the mean over the last axis of exp(logs)."""
    top = logs.max(axis=-1)
    result: Floats = top + np.log(np.exp(logs - top[..., None]).mean(axis=-1))
    return result


def _log_total(log_m: Floats, log_unspent: Floats) -> Floats:
    total: Floats = np.logaddexp(log_mean_exp(log_m), log_unspent)
    return total


def _log_unspent(judged_seconds: Floats) -> Floats:
    unspent: Floats = np.log1p(-slots.FIRST_WEIGHT) - judged_seconds / RESTART_MEAN_SECONDS
    return unspent


def _spend(after: Floats, seconds: Floats) -> Floats:
    """Let judged time pass; returns the log of the restart weight that falls into it, (R, 1)."""
    share = -np.expm1(-seconds / RESTART_MEAN_SECONDS)
    passes = share > 0
    log_share = np.where(passes, np.log(np.where(passes, share, 1.0)), -np.inf)
    log_weight = _log_unspent(after[:, slots.JUDGED]) + log_share
    after[:, slots.JUDGED] += seconds
    return log_weight[:, None]


def _restart(log_m: Floats, log_factor: Floats, log_weight: Floats) -> Floats:
    restarted: Floats = log_factor + np.logaddexp(log_m, log_weight)
    return restarted


def _fold_comparison(
    rules: RuleBatch,
    after: Floats,
    samples: SampleBatch,
    counts: Floats,
    judged: Bools,
    log_weight: Floats,
) -> None:
    """Compare the arms over the same time only.

    When one arm could not be read, its next increments cover more time than the other's; the counts
    of the arm that was read wait for it. When a counter began anew that cannot be mended: all until
    the next sample with both arms is left out.
    """
    both = samples.stable_present & samples.candidate_present
    left_out = (after[:, slots.BLOCKED] > 0) | ~samples.comparable | ~judged
    pending = np.where(left_out[:, None], 0.0, after[:, slots.PENDING] + counts)
    compared = both & ~left_out & rules.compares
    used = np.where(compared[:, None], pending, 0.0)
    factor = log_relative_factor(used[:, 0], used[:, 1], used[:, 2], used[:, 3], rules.margin)
    after[:, slots.REL] = _restart(after[:, slots.REL], factor, log_weight)
    after[:, slots.PENDING] = np.where(both[:, None], 0.0, pending)
    after[:, slots.BLOCKED] = left_out & ~both


def _fold_limits(rules: RuleBatch, after: Floats, counts: Floats, log_weight: Floats) -> None:
    """The candidate against its limit, stable against the same, and the certificate.

    The certificate does not restart: it speaks of the candidate since the split, so a bad beginning
    must be made up for, not forgotten; and a restart would cost time that promotion waits for.
    """
    counts = np.where(rules.limited[:, None], counts, 0.0)
    stable = log_limit_factor(counts[:, 0], counts[:, 1], rules.error_limit)
    candidate = log_limit_factor(counts[:, 2], counts[:, 3], rules.error_limit)
    after[:, slots.STABLE_LIMIT] = _restart(after[:, slots.STABLE_LIMIT], stable, log_weight)
    after[:, slots.LIMIT] = _restart(after[:, slots.LIMIT], candidate, log_weight)
    after[:, slots.CERTIFICATE] += log_certificate_factor(counts[:, 2], counts[:, 3], rules.error_limit)


def _fold_traffic(after: Floats, samples: SampleBatch) -> None:
    fade = np.exp(-samples.seconds / RECENT_MEAN_SECONDS)
    for slot, fresh in (
        (slots.RECENT_SECONDS, samples.seconds),
        (slots.RECENT_STABLE, np.where(samples.stable_present, samples.stable_requests, 0.0)),
        (
            slots.RECENT_CANDIDATE,
            np.where(samples.candidate_present, samples.candidate_requests, 0.0),
        ),
    ):
        after[:, slot] = after[:, slot] * fade + fresh
