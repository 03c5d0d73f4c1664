"""Confidence sequences: the ends solve their equation and hold at every look."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import betaln, xlog1py, xlogy

from releases.domain.judge.intervals import confidence_interval

LOG_LIMIT = np.log(100)


def excess(p, requests, errors):
    mixture = betaln(0.5 + errors, 0.5 + requests - errors) - betaln(0.5, 0.5)
    return mixture - xlogy(errors, p) - xlog1py(requests - errors, -p) - LOG_LIMIT


@pytest.mark.parametrize(
    ("requests", "errors"), [(1, 0), (1, 1), (640, 2), (612, 31), (10**9, 10**6), (50, 50)]
)
def test_interval_ends_solve_their_equation(requests, errors):
    low, high = (
        float(end[0])
        for end in confidence_interval(
            np.array([float(requests)]), np.array([float(errors)]), np.array([LOG_LIMIT])
        )
    )
    rate = errors / requests
    if errors:
        assert low == pytest.approx(brentq(excess, 1e-15, rate, (requests, errors)), rel=1e-6)
    else:
        assert low == 0
    if errors < requests:
        assert high == pytest.approx(brentq(excess, rate, 1 - 1e-15, (requests, errors)), rel=1e-6)
    else:
        assert high == 1


def test_interval_without_requests_is_everything():
    low, high = confidence_interval(np.zeros(1), np.zeros(1), np.array([LOG_LIMIT]))
    assert (low[0], high[0]) == (0, 1)


def test_interval_holds_the_truth_at_every_look():
    rng, paths, truth = np.random.default_rng(3), 400, 0.02
    requests = errors = np.zeros(paths)
    missed = np.zeros(paths, bool)
    for _ in range(150):
        requests = requests + 10
        errors = errors + rng.binomial(10, truth, paths)
        low, high = confidence_interval(requests, errors, np.full(paths, LOG_LIMIT))
        missed |= (truth < low) | (truth > high)
    assert missed.mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / paths)
