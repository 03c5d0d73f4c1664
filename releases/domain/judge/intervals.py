"""Confidence sequences: intervals for an error rate that hold at every look.

Beta(1/2, 1/2) mixture of binomial likelihood ratios, inverted by bisection for all releases at
once. An account of the counts to be drawn and read: no decision hangs on it. It speaks of a rate
that does not move; of one that moves it brackets no particular moment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

from releases.domain.judge.samples import Bools, Floats

_HALVINGS = 32
"""To 2e-10, which is finer than anything that is drawn or said."""


def confidence_interval(requests: Floats, errors: Floats, log_limit: Floats) -> tuple[Floats, Floats]:
    """All p with betaln(a+S, b+n-S) - betaln(a, b) - S log p - (n-S) log(1-p) < log(1/alpha).

    a = b = 1/2, S errors in n requests, `log_limit` = log(1/alpha); each (R,). Without requests it
    is everything, (0, 1).
    """
    mixture = _log_mixture(requests, errors)

    def inside(p: Floats) -> Bools:
        result: Bools = mixture - _log_likelihood(p, requests, errors) < log_limit
        return result

    mode = np.where(requests > 0, errors / np.maximum(requests, 1.0), 0.5)
    low = _edge(inside, np.zeros_like(mode), mode)
    high = _edge(inside, np.ones_like(mode), mode)
    return np.where(errors > 0, low, 0.0), np.where(errors < requests, high, 1.0)


def log_against(p: Floats, requests: Floats, errors: Floats) -> Floats:
    """Log-evidence against the rate `p`, of any shape: the interval is where it is below log(1/alpha)."""
    against: Floats = _log_mixture(requests, errors) - _log_likelihood(p, requests, errors)
    return against


def _log_mixture(requests: Floats, errors: Floats) -> Floats:
    mixture: Floats = betaln(0.5 + errors, 0.5 + requests - errors) - betaln(0.5, 0.5)
    return mixture


def _log_likelihood(p: Floats, requests: Floats, errors: Floats) -> Floats:
    likelihood: Floats = xlogy(errors, p) + xlog1py(requests - errors, -p)
    return likelihood


def _edge(inside: Callable[[Floats], Bools], out: Floats, into: Floats) -> Floats:
    """The point outside that is nearest to the edge, so that the interval is rounded outwards."""
    for _ in range(_HALVINGS):
        middle = (out + into) / 2
        within = inside(middle)
        into = np.where(within, middle, into)
        out = np.where(within, out, middle)
    return out
