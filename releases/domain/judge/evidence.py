"""Folds samples into the state and weighs it: e-processes, batched over releases.

P(ever E_t >= 1/alpha) <= alpha under the null (Ville); see `restart` for how evidence is kept. Must not
know what a verdict is, nor the words for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.drift import (
    KNOWN_PREDICTIONS,
    choose_edges,
    fold_predictions,
    log_edges,
)
from releases.domain.judge.factors import (
    ODDS_RATIOS,
    log_certificate_factor,
    log_limit_factor,
    log_odds_factor,
)
from releases.domain.judge.latency import (
    begin_with,
    fold_latency,
    log_thresholds,
)
from releases.domain.judge.restart import (
    MOST_OF_ERRORS,
    log_mean_exp,
    log_total,
    log_unspent,
    most,
    restart,
    spend,
)
from releases.domain.judge.rules import (
    ERRORS_VS_STABLE,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
    RuleBatch,
)
from releases.domain.judge.samples import Bools, Floats, SampleBatch
from releases.domain.judge.scatter import dispersion, fold_scatter

RECENT_MEAN_SECONDS = 30.0
"""The present traffic is a mean that fades with this time."""

HARM_TESTS: tuple[tuple[str, float], ...] = (
    (ERRORS_VS_STABLE, 0.5),
    (LATENCY_VS_STABLE, 0.1875),  # thresholds
    (LATENCY_VS_STABLE, 0.1875),  # log-rank
    (PREDICTIONS_VS_STABLE, 0.125),
)
"""The tests that are merged into the evidence of harm: the rule they belong to, and their weights.
Those that are off give theirs to the others in proportion."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-evidence of R releases, (R,) where nothing else is said. A rule that is off has 0.

    `harm`: merged over the harm tests. `parts`: each of them, (R, number of HARM_TESTS); `on`: whether it
    is, the same shape. `latency`: the mean of the two latency tests. `thresholds` and `edges`: at each
    bound and each edge between prediction bins, -inf where there is none. `differs`: that predictions
    differ at all. `limit`, `stable_limit`: that an arm breaks the error limit; `certificate`: that the
    candidate keeps it; `slow_limit`, `stable_slow_limit`, `slow_certificate`: the same for the latency
    limit. `slow_measurable`: the histogram reaches that limit, as far as is known.
    """

    harm: Floats
    parts: Floats
    on: Bools
    latency: Floats
    thresholds: Floats
    edges: Floats
    differs: Floats
    limit: Floats
    stable_limit: Floats
    certificate: Floats
    slow_limit: Floats
    stable_slow_limit: Floats
    slow_certificate: Floats
    slow_measurable: Bools


def tell_baseline(state: Floats, known: SampleBatch) -> Floats:
    """The state of releases that have seen no sample yet, told what stable did before the rollout.

    Only stable's latencies and predictions are read, and only what will be compared is chosen by them:
    none of it is evidence.
    """
    told = state.copy()
    if known.latency is not None:
        begin_with(told, known.latency.bounds, known.latency.stable)
    if known.predictions is not None:
        predictions = known.predictions.stable
        choose_edges(told, predictions, predictions.sum(axis=1) >= KNOWN_PREDICTIONS)
    return told


def fold(rules: RuleBatch, state: Floats, samples: SampleBatch) -> Floats:
    """The state after one more sample of each release; (R, STATE_SIZE) -> (R, STATE_SIZE).

    A change of the split needs nothing here, and must never lead to a new state.
    """
    if not len(rules) == len(state) == len(samples):
        raise ValueError(f"{len(rules)} rules, {len(state)} states, {len(samples)} samples")
    after = state.copy()
    judged = state[:, slots.ELAPSED] >= rules.warm_up_seconds
    after[:, slots.ELAPSED] += samples.seconds
    log_weight = spend(after, np.where(judged, samples.seconds, 0.0))
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
    scatter = dispersion(state, slots.SCATTER_ERRORS)
    compared = _fold_errors(rules, after, samples, counts, judged, log_weight, scatter)
    # Not what waits for the candidate: phi has to come from samples before those that it divides.
    told = stable & samples.candidate_present
    fold_scatter(after, slots.SCATTER_ERRORS, counts[:, 0], counts[:, 1:2], told)
    # Histograms do not wait for the other arm: where increments cover unlike times they are left out.
    alike = compared & (state[:, slots.GAP] == 0)
    one = samples.stable_present != samples.candidate_present
    after[:, slots.GAP] = np.where(one, 1.0, np.where(samples.stable_present, 0.0, state[:, slots.GAP]))
    fold_latency(rules, after, samples, alike, judged, log_weight)
    fold_predictions(rules, after, samples, alike, log_weight)
    _fold_limits(rules, after, counts, log_weight, scatter)
    _fold_traffic(after, samples)
    return after


def weigh(rules: RuleBatch, state: Floats) -> Evidence:
    """The evidence that a state holds."""
    unspent = log_unspent(state[:, slots.JUDGED])

    def restarted(part: slice, on: Bools) -> Floats:
        return np.where(on, log_total(state[:, part], unspent), 0.0)

    thresholds, edges = log_thresholds(state, unspent), log_edges(state, unspent)
    on = np.stack(
        [rules.compares, rules.compares_latency, rules.compares_latency, rules.compares_predictions], axis=1
    )
    parts = np.stack(
        [
            restarted(slots.REL, rules.compares),
            np.where(rules.compares_latency, _log_mean_of_known(thresholds), 0.0),
            restarted(slots.RANKS, rules.compares_latency),
            np.where(rules.compares_predictions, _log_mean_of_known(edges), 0.0),
        ],
        axis=1,
    )
    limited, slow = rules.limited, rules.limits_latency
    top = state[:, slots.TOP_BOUND]
    return Evidence(
        harm=merge(parts, on),
        parts=parts,
        on=on,
        latency=log_mean_exp(parts[:, 1:3]),
        thresholds=thresholds,
        edges=edges,
        differs=restarted(slots.DRIFT_FLAG, rules.compares_predictions),
        limit=restarted(slots.LIMIT, limited),
        stable_limit=restarted(slots.STABLE_LIMIT, limited & rules.has_stable),
        certificate=np.where(limited, log_mean_exp(state[:, slots.CERTIFICATE]), 0.0),
        slow_limit=restarted(slots.SLOW_LIMIT, slow),
        stable_slow_limit=restarted(slots.STABLE_SLOW_LIMIT, slow & rules.has_stable),
        slow_certificate=np.where(slow, log_mean_exp(state[:, slots.SLOW_CERTIFICATE]), 0.0),
        slow_measurable=(top == 0) | (top >= rules.latency_limit),
    )


def merge(parts: Floats, on: Bools) -> Floats:
    """Log of the weighted mean of e-values; (R, tests), (R, tests) -> (R,). 0 where all are off."""
    weights = np.where(on, np.array([weight for _, weight in HARM_TESTS]), 0.0)
    total = weights.sum(axis=1)
    any_on = total > 0
    weights = np.where(any_on[:, None], weights, 1.0 / len(HARM_TESTS))
    top = np.where(weights > 0, parts, -np.inf).max(axis=1)
    mean = (weights * np.exp(np.minimum(parts - top[:, None], 0.0))).sum(axis=1) / weights.sum(axis=1)
    merged: Floats = np.where(any_on, top + np.log(mean), 0.0)
    return merged


def _log_mean_of_known(logs: Floats) -> Floats:
    """Log of the mean over those that are there (not -inf); 0 where none is."""
    known = np.isfinite(logs)
    number = known.sum(axis=1)
    top = np.where(number > 0, logs.max(axis=1), 0.0)
    mean = np.where(known, np.exp(logs - top[:, None]), 0.0).sum(axis=1) / np.maximum(number, 1)
    return np.where(number > 0, top + np.log(np.where(number > 0, mean, 1.0)), 0.0)


def _fold_errors(
    rules: RuleBatch,
    after: Floats,
    samples: SampleBatch,
    counts: Floats,
    judged: Bools,
    log_weight: Floats,
    scatter: Floats,
) -> Bools:
    """Compare the arms over the same time only; returns where they can be compared, (R,).

    When one arm could not be read, its next increments cover more time than the other's; the counts
    of the arm that was read wait for it. When a counter began anew that cannot be mended: all until
    the next sample with both arms is left out.
    """
    both = samples.stable_present & samples.candidate_present
    left_out = (after[:, slots.BLOCKED] > 0) | ~samples.comparable | ~judged
    pending = np.where(left_out[:, None], 0.0, after[:, slots.PENDING] + counts)
    compared: Bools = both & ~left_out
    used = np.where((compared & rules.compares)[:, None], pending, 0.0)
    n_s, e_s, n_c, e_c = used.T
    factor = log_odds_factor(n_s, e_s, n_c, e_c, rules.margin, ODDS_RATIOS) / scatter[:, None]
    factor = np.minimum(factor, most(MOST_OF_ERRORS, samples.seconds))
    after[:, slots.REL] = restart(after[:, slots.REL], factor, log_weight)
    after[:, slots.EXPECTED_ERRORS] += (e_s + e_c) * n_c / np.maximum(n_s + n_c, 1.0)
    after[:, slots.PENDING] = np.where(both[:, None], 0.0, pending)
    after[:, slots.BLOCKED] = left_out & ~both
    return compared


def _fold_limits(
    rules: RuleBatch, after: Floats, counts: Floats, log_weight: Floats, scatter: Floats
) -> None:
    """The candidate against its limit, stable against the same, and the certificate.

    The certificate does not restart: it speaks of the candidate since the split, so a bad beginning
    must be made up for, not forgotten; and a restart would cost time that promotion waits for.
    """
    counts = np.where(rules.limited[:, None], counts, 0.0)
    stable = log_limit_factor(counts[:, 0], counts[:, 1], rules.error_limit) / scatter[:, None]
    candidate = log_limit_factor(counts[:, 2], counts[:, 3], rules.error_limit) / scatter[:, None]
    after[:, slots.STABLE_LIMIT] = restart(after[:, slots.STABLE_LIMIT], stable, log_weight)
    after[:, slots.LIMIT] = restart(after[:, slots.LIMIT], candidate, log_weight)
    proof = log_certificate_factor(counts[:, 2], counts[:, 3], rules.error_limit) / scatter[:, None]
    after[:, slots.CERTIFICATE] += proof


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
