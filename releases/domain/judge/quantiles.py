"""Quantiles of latency from histograms, and confidence sequences around them that hold at every look.

An account of the counts to be drawn and read: no decision hangs on it. Must not know what is drawn, nor
where the counts come from. Sequential estimation of quantiles: Howard & Ramdas, Bernoulli 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from releases.domain.judge.intervals import log_against
from releases.domain.judge.samples import Floats


def quantile(counts: Floats, bounds: Sequence[float], share: float) -> Floats:
    """The `share` quantile of each histogram, linear within its bucket; beyond the last bound it is that
    bound. `counts` (T, len(bounds) + 1), one row a histogram; NaN for one without any count."""
    edges = np.array([0.0, *bounds, bounds[-1]])
    below = counts.cumsum(axis=1)
    wanted = below[:, -1] * share
    bucket = np.minimum((below < wanted[:, None]).sum(axis=1), len(bounds))
    rows = np.arange(len(counts))
    held = counts[rows, bucket]
    before = below[rows, bucket] - held
    within = np.where(held > 0, (wanted - before) / np.maximum(held, 1), 0.0)
    value = edges[bucket] + within * (edges[bucket + 1] - edges[bucket])
    return np.where(below[:, -1] > 0, value, np.nan)


def quantile_band(
    counts: Floats, bounds: Sequence[float], share: float, alpha: float
) -> tuple[Floats, Floats]:
    """Where the `share` quantile of what is counted lies, with probability 1 - alpha at all rows at once.

    `counts` (T, len(bounds) + 1), each row what was counted until then. The quantile is at most b exactly
    when P(X <= b) >= share. So the upper edge is the smallest bound whose confidence sequence for
    P(X <= b) lies above `share` entirely, infinite without one; the lower edge the largest whose sequence
    lies below it entirely, 0 without one.

    No union over the bounds is needed, however many there are. P(X <= b) and its sequence both rise with
    b. If the upper edge is too low, the sequence of some bound below the quantile lies above `share`, and
    then so does that of the last bound below the quantile; a lower edge that is too high needs the first
    bound not below it. Two fixed bounds, and each gets half of alpha.
    """
    answers = counts.sum(axis=1)[:, None]
    below = counts.cumsum(axis=1)[:, :-1]
    excluded = log_against(np.full_like(below, share), np.broadcast_to(answers, below.shape), below) >= (
        math.log(2 / alpha)
    )
    above, under = excluded & (below > share * answers), excluded & (below < share * answers)
    edges = np.array([0.0, *bounds, np.inf])
    lower: Floats = edges[under.sum(axis=1)]
    upper: Floats = edges[len(bounds) + 1 - above.sum(axis=1)]
    return lower, upper
