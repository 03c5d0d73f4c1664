"""The restart mixture: a regression that begins late is found as fast as one from the beginning.

    M_t(g) = B_t(g) (M_{t-1}(g) + w_t),   E_t = mean_g M_t(g) + what of the weight is not yet spent

Half of the weight is spent at the beginning, the rest geometrically in wall time. E_t has expectation
at most 1 at every stopping time under its null, for ever. After Shin, Ramdas & Rinaldo, NEJSDS 2024.
All is kept as logarithms.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge import state as slots
from releases.domain.judge.samples import Floats

MOST_OF_ERRORS, MOST_OF_OTHERS = 4.0, 2.0
"""The most that one sample may add to the log evidence of a comparison. A smaller factor keeps its
expectation at most 1, and no single bad second, in which a process stalls and all its answers with it,
can roll back: several samples have to agree, two on errors, more on latency and predictions."""
STALL_SECONDS = 2.0
"""Of samples that are longer it is as much for each time so long."""
RESTART_MEAN_SECONDS = 600.0
"""Mean of the geometric law by which restart weight is spent."""


def spend(after: Floats, seconds: Floats) -> Floats:
    """Let judged time pass; returns the log of the restart weight that falls into it, (R, 1)."""
    share = -np.expm1(-seconds / RESTART_MEAN_SECONDS)
    passes = share > 0
    log_share = np.where(passes, np.log(np.where(passes, share, 1.0)), -np.inf)
    log_weight = log_unspent(after[:, slots.JUDGED]) + log_share
    after[:, slots.JUDGED] += seconds
    return log_weight[:, None]


def log_unspent(judged_seconds: Floats) -> Floats:
    """Log of the weight that is left after so long."""
    unspent: Floats = np.log1p(-slots.FIRST_WEIGHT) - judged_seconds / RESTART_MEAN_SECONDS
    return unspent


def most(of_one: float, seconds: Floats) -> Floats:
    """The most that samples of these lengths may add, (R, 1)."""
    limit: Floats = of_one * np.maximum(1.0, seconds / STALL_SECONDS)[:, None]
    return limit


def restart(log_m: Floats, log_factor: Floats, log_weight: Floats) -> Floats:
    """log M after one more sample."""
    restarted: Floats = log_factor + np.logaddexp(log_m, log_weight)
    return restarted


def log_total(log_m: Floats, unspent: Floats) -> Floats:
    """Log evidence from the log M of all alternatives, equally weighted: (R, G), (R,) -> (R,)."""
    total: Floats = np.logaddexp(log_mean_exp(log_m), unspent)
    return total


def log_mean_exp(logs: Floats) -> Floats:
    """log of the mean over the last axis of exp(logs)."""
    top = logs.max(axis=-1)
    result: Floats = top + np.log(np.exp(logs - top[..., None]).mean(axis=-1))
    return result
