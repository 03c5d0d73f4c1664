"""The factors B of one sample: logs of e-values, batched over releases.

Each has expectation at most 1 under its null, whatever came before: the bricks that
`evidence` multiplies. Must not know of time, restarts or limits on evidence.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.samples import Floats

ODDS_RATIOS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 300.0])
"""psi_g over the margin psi0: how much worse than stable the candidate may be."""
LIMIT_ODDS = np.array([1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0])
"""Odds of p1 over those of the limit p0."""
CERTIFICATE_SHARES = np.array([0.02, 0.1, 0.2, 0.35, 0.5, 0.7])
"""p1 over the limit p0, for the certificate."""
EXACT_SUPPORT = 64
"""The exact factor sums over the possible numbers of candidate errors, up to so many."""


def log_relative_factor(
    stable_requests: Floats,
    stable_errors: Floats,
    candidate_requests: Floats,
    candidate_errors: Floats,
    margin: Floats,
) -> Floats:
    """Candidate against stable: log B(psi_g psi0; psi0) for each odds ratio; (R,) -> (R, 7).

    Given the requests of both arms and the errors in all, the candidate's errors follow Fisher's
    non-central hypergeometric law; null: odds ratio at most `margin`. 0 (factor 1) where the sample
    says nothing: an arm without requests, no error, or nothing but errors.
    Exact where the sum is short, else the closed form; which of them depends on what is conditioned
    upon only, so the choice keeps the expectation.
    """
    requests = stable_requests + candidate_requests
    errors = stable_errors + candidate_errors
    telling = (stable_requests > 0) & (candidate_requests > 0) & (errors > 0) & (errors < requests)
    support = np.minimum(errors, candidate_requests) - np.maximum(0.0, errors - stable_requests) + 1
    result = np.zeros((len(requests), len(ODDS_RATIOS)))
    for rows, form in (
        (telling & (support <= EXACT_SUPPORT), log_relative_exact),
        (telling & (support > EXACT_SUPPORT), log_relative_closed),
    ):
        if rows.any():
            result[rows] = form(
                stable_requests[rows],
                candidate_requests[rows],
                errors[rows],
                candidate_errors[rows],
                margin[rows],
            )
    return result


def log_relative_exact(
    stable_requests: Floats,
    candidate_requests: Floats,
    errors: Floats,
    candidate_errors: Floats,
    margin: Floats,
) -> Floats:
    """log B by the sum over k = max(0, E - n_s) .. min(E, n_c); (R,) -> (R, 7).

    The weights h(k) = C(n_c, k) C(n_s, E - k) come from their ratios, which stay exact where
    log-gamma of a billion would not. Sums run over the first axis, in order, so that the padding
    which other rows of the batch need changes nothing.
    """
    lowest = np.maximum(0.0, errors - stable_requests)
    size = np.minimum(errors, candidate_requests) - lowest + 1
    step = np.arange(int(size.max()) - 1, dtype=np.float64)[:, None]
    k = lowest + step
    inside = step < size - 1
    up = np.where(inside, (candidate_requests - k) * (errors - k), 1.0)
    down = np.where(inside, (k + 1) * (stable_requests - errors + k + 1), 1.0)
    ratios = np.where(inside, np.log(up) - np.log(down), -np.inf)
    log_h = np.concatenate([np.zeros((1, len(errors))), np.cumsum(ratios, axis=0)])
    above = np.arange(len(log_h), dtype=np.float64)[:, None, None]
    log_psi0 = np.log(margin)[:, None]
    log_psi = np.concatenate([log_psi0, log_psi0 + np.log(ODDS_RATIOS)], axis=1)
    terms = log_h[:, :, None] + above * log_psi
    top = terms.max(axis=0)
    log_mean = top + np.log(np.exp(terms - top).sum(axis=0))
    taken = (candidate_errors - lowest)[:, None]
    factor: Floats = taken * np.log(ODDS_RATIOS) - log_mean[:, 1:] + log_mean[:, :1]
    return factor


def log_relative_closed(
    stable_requests: Floats,
    candidate_requests: Floats,
    errors: Floats,
    candidate_errors: Floats,
    margin: Floats,
) -> Floats:
    """A lower bound of log B without a sum; (R,) -> (R, 7).

    With h the central hypergeometric law and rho = n_c/N: log E_h[psi^k] <= E log(1 + rho (psi-1))
    (Hoeffding 1963, Theorem 4: convex order against the binomial) for psi = psi1, and
    log E_h[psi0^k] >= E rho log psi0 (Jensen). Both make B smaller, so it stays an e-value for
    every margin; at margin 1 it is the closed form e_c log psi - E log(1 + rho (psi - 1)).
    """
    share = (candidate_requests / (stable_requests + candidate_requests))[:, None]
    psi = margin[:, None] * ODDS_RATIOS
    factor: Floats = (
        candidate_errors[:, None] * np.log(ODDS_RATIOS)
        + errors[:, None] * share * np.log(margin)[:, None]
        - errors[:, None] * np.log1p(share * (psi - 1))
    )
    return factor


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
