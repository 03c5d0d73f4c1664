"""Prediction drift: do the arms answer differently? Two tests on bins fixed before the rollout.

- *flag*: any difference at all, for the reader; rolls nothing back, for a new model should differ a bit.
  log B_t = sum_j x_cj log(q_cj/q_0j) + x_sj log(q_sj/q_0j), q_0 = (n_c q_c + n_s q_s)/N, with q_c, q_s
  the past counts shrunk to the pooled ones. Its expectation is at most 1 by the inequality of the means.
- *harm*: at most 6 edges between bins, "predicted above the edge" as a count like errors, both ways,
  and only odds ratios beyond a margin of 1.5 count.

Must not know how tests are merged.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.factors import log_odds_factor
from releases.domain.judge.restart import MOST_OF_OTHERS, log_mean_exp, most, restart
from releases.domain.judge.rules import RuleBatch
from releases.domain.judge.samples import Bools, Floats, SampleBatch
from releases.domain.judge.spread import spread

PREDICTION_MARGIN = 1.5
"""The odds ratio, either way, that a new model may differ by at any edge."""
SHRINKAGE = 30.0
"""Past counts weigh as much as the pooled histogram when there are so many."""
KNOWN_PREDICTIONS = 100
"""So many predictions of stable have to be known before edges are chosen."""
LEAST_ABOVE, MOST_ABOVE = 0.002, 0.998


def fold_predictions(
    rules: RuleBatch, after: Floats, samples: SampleBatch, compared: Bools, log_weight: Floats
) -> None:
    """Fold one sample into `after`, if it has predictions; (R,) `compared`: the arms cover the same time."""
    predictions = samples.predictions
    if predictions is None:
        _rest(after, log_weight)
        return
    told = (compared & rules.compares_predictions)[:, None]
    stable = np.where(told, predictions.stable, 0.0)
    candidate = np.where(told, predictions.candidate, 0.0)
    factor = _log_flag_factor(after, stable, candidate)
    after[:, slots.DRIFT_FLAG] = restart(after[:, slots.DRIFT_FLAG], factor[:, None], log_weight)
    edges = np.minimum(_log_edges(after, stable, candidate), most(MOST_OF_OTHERS, samples.seconds))
    after[:, slots.DRIFT] = restart(after[:, slots.DRIFT], edges, log_weight)
    after[:, slots.PREDICTED_STABLE] += stable
    after[:, slots.PREDICTED_CANDIDATE] += candidate
    known = after[:, slots.PREDICTED_STABLE]
    choose_edges(after, known, (after[:, slots.CUTS_CHOSEN] == 0) & (known.sum(axis=1) >= KNOWN_PREDICTIONS))


def _rest(after: Floats, log_weight: Floats) -> None:
    """A sample without predictions: time passes."""
    for part in (slots.DRIFT_FLAG, slots.DRIFT):
        after[:, part] = restart(after[:, part], np.zeros(1), log_weight)


def log_edges(state: Floats, unspent: Floats) -> Floats:
    """Log evidence at each edge, (R, MOST_CUTS); -inf where there is no edge."""
    log_m = state[:, slots.DRIFT].reshape(len(state), 2, slots.MOST_CUTS, -1)
    both_ways = log_mean_exp(np.concatenate([log_m[:, 0], log_m[:, 1]], axis=2))
    return np.where(state[:, slots.CUTS] >= 0, np.logaddexp(both_ways, unspent[:, None]), -np.inf)


def choose_edges(state: Floats, predictions: Floats, now: Bools) -> None:
    """Spread the edges evenly over the bins that stable has predicted; (R, MOST_BINS) predictions."""
    if not now.any():
        return
    counts = predictions[now]
    total = counts.sum(axis=1)[:, None]
    below = counts.cumsum(axis=1)[:, :-1]
    share = 1 - below / total
    telling = (share >= LEAST_ABOVE) & (share <= MOST_ABOVE) & (counts[:, :-1] > 0)
    # A model that has predicted one thing only: then any other prediction is the drift to look for.
    telling |= ~telling.any(axis=1)[:, None] & _around(counts)
    cuts = np.full((len(counts), slots.MOST_CUTS), -1.0)
    rows, columns, place = spread(telling, slots.MOST_CUTS)
    cuts[rows, place] = columns
    state[now, slots.CUTS] = cuts
    state[now, slots.CUTS_CHOSEN] = 1.0


def _around(counts: Floats) -> Bools:
    """The edges on either side of the bin with most predictions, (R, bins - 1)."""
    most = counts.argmax(axis=1)[:, None]
    edge = np.arange(counts.shape[1] - 1)
    around: Bools = (edge == most) | (edge == most - 1)
    return around


def _log_flag_factor(state: Floats, stable: Floats, candidate: Floats) -> Floats:
    past_stable, past_candidate = state[:, slots.PREDICTED_STABLE], state[:, slots.PREDICTED_CANDIDATE]
    pooled = past_stable + past_candidate + 0.5
    pooled = pooled / pooled.sum(axis=1)[:, None]
    n_s, n_c = stable.sum(axis=1)[:, None], candidate.sum(axis=1)[:, None]

    def shrunk(past: Floats) -> Floats:
        result: Floats = (past + SHRINKAGE * pooled) / (past.sum(axis=1)[:, None] + SHRINKAGE)
        return result

    q_s, q_c = shrunk(past_stable), shrunk(past_candidate)
    both = (n_s > 0) & (n_c > 0)
    q_0 = np.where(both, n_c * q_c + n_s * q_s, 1.0) / np.where(both, n_c + n_s, 1.0)
    terms = candidate * np.log(q_c / q_0) + stable * np.log(q_s / q_0)
    return np.where(both[:, 0], terms.sum(axis=1), 0.0)


def _log_edges(state: Floats, stable: Floats, candidate: Floats) -> Floats:
    """Both directions at every edge; (R, 2 * MOST_CUTS * ratios)."""
    cuts = state[:, slots.CUTS]
    column = np.maximum(cuts, 0).astype(np.intp)
    counts = []
    for arm in (stable, candidate):
        total = arm.sum(axis=1)[:, None]
        above = total - np.take_along_axis(arm.cumsum(axis=1), column, axis=1)
        counts += [np.where(cuts >= 0, count, 0.0).ravel() for count in (total, above)]
    n_s, above_s, n_c, above_c = counts
    size = len(state) * slots.MOST_CUTS
    ways = [
        log_odds_factor(n_s, above_s, n_c, above_c, np.full(size, margin), ratios).reshape(len(state), -1)
        for margin, ratios in (
            (PREDICTION_MARGIN, slots.PREDICTION_RATIOS),
            (1 / PREDICTION_MARGIN, 1 / slots.PREDICTION_RATIOS),
        )
    ]
    result: Floats = np.concatenate(ways, axis=1)
    return result
