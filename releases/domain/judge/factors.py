"""The factors B of one sample: logs of e-values, batched over releases.

Each has expectation at most 1 under its null, whatever came before: the bricks that
`evidence` multiplies. Must not know of time, restarts or limits on evidence.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.samples import Bools, Floats

ODDS_RATIOS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 300.0])
"""psi_g over the margin psi0: how much worse than stable the candidate may be."""
LIMIT_ODDS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0])
"""Odds of p1 over those of the limit p0."""
CERTIFICATE_SHARES = np.array([0.02, 0.1, 0.2, 0.35, 0.5, 0.7])
"""p1 over the limit p0, for the certificate."""
EXACT_SUPPORT = 64
"""The exact factor sums over the possible numbers of candidate errors, up to so many."""
_SHORT_SUPPORT = 8
_STEPS = 16


def log_odds_factor(
    stable_requests: Floats,
    stable_errors: Floats,
    candidate_requests: Floats,
    candidate_errors: Floats,
    margin: Floats,
    ratios: Floats,
) -> Floats:
    """Candidate against stable: log B(psi_g psi0; psi0) for each ratio psi_g; (R,) -> (R, G).

    Given the requests of both arms and the errors in all, the candidate's errors follow Fisher's
    non-central hypergeometric law with an odds ratio psi. `margin` is psi0, (R,). With ratios above 1
    the null is psi <= psi0, with ratios below 1 it is psi >= psi0. 0 (factor 1) where the sample says
    nothing: an arm without requests, no error, or nothing but errors.
    Exact where the sum is short, else the closed form; which of them depends on what is conditioned
    upon only, so the choice keeps the expectation.
    """
    requests = stable_requests + candidate_requests
    errors = stable_errors + candidate_errors
    telling = (stable_requests > 0) & (candidate_requests > 0) & (errors > 0) & (errors < requests)
    support = np.minimum(errors, candidate_requests) - np.maximum(0.0, errors - stable_requests) + 1
    result = np.zeros((len(requests), len(ratios)))
    # Groups of like length, so that one long sum does not make all rows of the batch long.
    for form, rows in (
        (log_odds_exact, telling & (support <= _SHORT_SUPPORT)),
        (log_odds_exact, telling & (support > _SHORT_SUPPORT) & (support <= EXACT_SUPPORT)),
        (log_odds_closed, telling & (support > EXACT_SUPPORT)),
    ):
        if rows.any():
            result[rows] = form(
                stable_requests[rows],
                candidate_requests[rows],
                errors[rows],
                candidate_errors[rows],
                margin[rows],
                ratios,
            )
    return result


def log_odds_exact(
    stable_requests: Floats,
    candidate_requests: Floats,
    errors: Floats,
    candidate_errors: Floats,
    margin: Floats,
    ratios: Floats,
) -> Floats:
    """log B by the sum over k = max(0, E - n_s) .. min(E, n_c); (R,) -> (R, G).

    The sum of h(k) psi^k, h(k) = C(n_c, k) C(n_s, E - k), over its first term is
    1 + r_0 psi (1 + r_1 psi (1 + ...)) with r_k = h(k+1)/h(k): positive terms only, no logarithm of a
    factorial, and what other rows of the batch need changes nothing. Should it not fit a float64, the
    closed form stands in; that too depends on the margins alone.
    """
    lowest = np.maximum(0.0, errors - stable_requests)
    steps = np.minimum(errors, candidate_requests) - lowest
    psi = margin[:, None] * np.concatenate([[1.0], ratios])
    sums = np.ones_like(psi)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(int(steps.max()) - 1, -1, -1):
            k = lowest + step
            up = (candidate_requests - k) * (errors - k)
            down = (k + 1) * (stable_requests - errors + k + 1)
            ratio = np.where(step < steps, up / np.where(step < steps, down, 1.0), 0.0)
            sums = 1.0 + ratio[:, None] * psi * sums
        log_sums = np.log(sums)
    too_large: Bools = ~np.isfinite(log_sums).all(axis=1)
    log_sums[too_large] = 0.0
    taken = (candidate_errors - lowest)[:, None]
    factor: Floats = taken * np.log(ratios) - log_sums[:, 1:] + log_sums[:, :1]
    if too_large.any():
        factor[too_large] = log_odds_closed(
            stable_requests[too_large],
            candidate_requests[too_large],
            errors[too_large],
            candidate_errors[too_large],
            margin[too_large],
            ratios,
        )
    return factor


def log_odds_closed(
    stable_requests: Floats,
    candidate_requests: Floats,
    errors: Floats,
    candidate_errors: Floats,
    margin: Floats,
    ratios: Floats,
) -> Floats:
    """A lower bound of log B without a sum; (R,) -> (R, G).

    log B = e_c log(psi1/psi0) minus the growth of m from psi0 to psi1; of three upper bounds of that
    growth the lowest is taken. They depend on what is conditioned upon only, so B stays an e-value.
    """
    arms = (stable_requests, candidate_requests, errors)
    growth = _growth_by_order(*arms, margin, ratios)
    if ratios[0] > 1:
        growth = np.minimum(growth, _growth_by_means(*arms, margin, ratios))
    else:
        # Of successes the odds ratio is the inverse, so above 1.
        successes = stable_requests + candidate_requests - errors
        mirrored = _growth_by_means(stable_requests, candidate_requests, successes, 1 / margin, 1 / ratios)
        growth = np.minimum(growth, mirrored + candidate_requests[:, None] * np.log(ratios))
    factor: Floats = candidate_errors[:, None] * np.log(ratios) - growth
    return factor


def _growth_by_means(
    stable_requests: Floats, candidate_requests: Floats, errors: Floats, margin: Floats, ratios: Floats
) -> Floats:
    """For odds ratios of at least 1: the growth is the integral over log psi of the mean, which rises with
    psi, so at most the mean at the right ends of some steps. Of the candidate's errors or, which comes to
    the same, of stable's successes."""
    errors_of_candidate = _highest_means(stable_requests, candidate_requests, errors, margin, ratios)
    successes = stable_requests + candidate_requests - errors
    successes_of_stable = _highest_means(candidate_requests, stable_requests, successes, margin, ratios)
    shift = (stable_requests - errors)[:, None]
    growth: Floats = np.minimum(errors_of_candidate, successes_of_stable - shift) * np.log(ratios)
    return growth


def _highest_means(others: Floats, own: Floats, total: Floats, margin: Floats, ratios: Floats) -> Floats:
    """An upper bound of the mean of what an arm has of `total`, averaged over the steps; (R, G).

    The mean mu at psi solves (1 - psi)(mu^2 + sigma^2) + (n_o - E + psi (n + E)) mu = psi n E (Harkness
    1965), and the law is that of a sum of s = min(E, n) independent coins (its polynomial has real roots
    only), so sigma^2 <= mu (1 - mu/s): the root with equality there is not below mu.
    """
    steps = np.arange(1, _STEPS + 1) / _STEPS
    psi = margin[:, None, None] * ratios[:, None] ** steps
    n_o, n, counted = (arm[:, None, None] for arm in (others, own, total))
    most = np.minimum(n, counted)
    square = (1 - psi) * (1 - 1 / most)
    linear = n_o - counted + psi * (n + counted) - (psi - 1)
    constant = psi * n * counted
    root = np.sqrt(np.maximum(linear**2 + 4 * square * constant, 0.0))
    means: Floats = np.minimum(most, 2 * constant / (linear + root)).mean(axis=2)
    return means


def _growth_by_order(
    stable_requests: Floats, candidate_requests: Floats, errors: Floats, margin: Floats, ratios: Floats
) -> Floats:
    """With h the central hypergeometric law and rho = n_c/N: log E_h[psi^k] <= E log(1 + rho (psi-1))
    (Hoeffding 1963, Theorem 4: convex order against the binomial) and log E_h[psi0^k] >= E rho log psi0
    (Jensen). At margin 1 that is E log(1 + rho (psi - 1)). Tighter where few are counted: where errors are
    the majority it is taken of the successes, with all odds inverted."""
    requests = stable_requests + candidate_requests
    swap = 2 * errors > requests
    direction = np.where(swap, -1.0, 1.0)[:, None]
    counted = np.where(swap, requests - errors, errors)[:, None]
    share = (candidate_requests / requests)[:, None]
    log_margin, log_ratios = direction * np.log(margin)[:, None], direction * np.log(ratios)
    grown = counted * (np.log1p(share * np.expm1(log_margin + log_ratios)) - share * log_margin)
    growth: Floats = grown + np.where(swap, candidate_requests, 0.0)[:, None] * np.log(ratios)
    return growth


def log_limit_factor(requests: Floats, errors: Floats, limit: Floats) -> Floats:
    """One arm against its limit, null p <= limit: log B(p1) for each p1 above it; (R,) -> (R, 7)."""
    odds = (limit / (1 - limit))[:, None] * LIMIT_ODDS
    return _log_binomial_factor(requests, errors, limit, odds / (1 + odds), -np.log1p(odds))


def log_certificate_factor(requests: Floats, errors: Floats, limit: Floats) -> Floats:
    """The proof of being better, null p >= limit: log B(p1) for each p1 below it; (R,) -> (R, 6)."""
    shares = limit[:, None] * CERTIFICATE_SHARES
    return _log_binomial_factor(requests, errors, limit, shares, np.log1p(-shares))


def _log_binomial_factor(
    requests: Floats, errors: Floats, limit: Floats, other: Floats, log_other_success: Floats
) -> Floats:
    per_error = np.log(other) - np.log(limit)[:, None]
    per_success = log_other_success - np.log1p(-limit)[:, None]
    factor: Floats = errors[:, None] * per_error + (requests - errors)[:, None] * per_success
    return factor
