"""How long until the certificate, if traffic and errors go on as they are.

The median: half of all releases take longer. Must not know the clock.
"""

from __future__ import annotations

import numpy as np
from scipy.special import pdtr

from releases.domain.judge.factors import log_certificate_factor
from releases.domain.judge.restart import log_mean_exp
from releases.domain.judge.samples import Floats

SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 30 * 86400.0
"""A forecast beyond this is not given: nobody waits for it."""
FEW_ERRORS = 3
"""Up to so many errors to come are followed one by one."""
FIRST_PASSAGE = 0.66
"""Beyond, half of all paths have been at the limit by this share of the time of the expected path, for they
rise and fall on the way (0.60 to 0.70 by simulation, at 0.4 to 0.7 of the limit)."""
_HALVINGS = 16


def seconds_to_certificate(
    log_certificates: Floats,
    requests_per_second: Floats,
    error_rate: Floats,
    limit: Floats,
    log_certify: Floats,
    phi: Floats,
) -> Floats:
    """Median seconds until the mean of the certificates reaches 1/beta.

    `log_certificates` is (R, 6), the others (R,); zeros forecast a release that has not begun. `phi` is
    what the judge divides new evidence by.
    Evidence rises from request to request and falls with each error. With just k errors to come it is
    reached after T_k; the median is the first T_k by which no more than k come in half of all cases.
    NaN where it is never reached, or not within LONGEST_SECONDS: no traffic, or too many errors.
    """
    expected = _reached(log_certificates, requests_per_second, error_rate, limit, log_certify, phi)
    result = FIRST_PASSAGE * expected
    open_rows = np.flatnonzero(~np.isnan(result))
    for errors in range(FEW_ERRORS + 1):
        if not len(open_rows):
            break
        rows = open_rows
        cost = log_certificate_factor(
            np.full(len(rows), float(errors)), np.full(len(rows), float(errors)), limit[rows]
        )
        seconds = _reached(
            log_certificates[rows] + cost / phi[rows, None],
            requests_per_second[rows],
            np.zeros(len(rows)),
            limit[rows],
            log_certify[rows],
            phi[rows],
        )
        likely = pdtr(errors, requests_per_second[rows] * error_rate[rows] * np.nan_to_num(seconds)) >= 0.5
        done = likely & ~np.isnan(seconds)
        result[rows[done]] = seconds[done]
        open_rows = rows[~done]
    return result


def _reached(
    log_certificates: Floats,
    requests_per_second: Floats,
    error_rate: Floats,
    limit: Floats,
    log_certify: Floats,
    phi: Floats,
) -> Floats:
    """The same when every second is the expected one; NaN where it is not reached."""
    growth = log_certificate_factor(requests_per_second, requests_per_second * error_rate, limit)
    growth = growth / phi[:, None]

    def short(seconds: Floats) -> Floats:
        return log_certify - log_mean_exp(log_certificates + growth * seconds[:, None])

    low, high = np.full_like(limit, SHORTEST_SECONDS), np.full_like(limit, LONGEST_SECONDS)
    now, reached = short(np.zeros_like(limit)) <= 0, short(high) <= 0
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        there = short(middle) <= 0
        high = np.where(there, middle, high)
        low = np.where(there, low, middle)
    result: Floats = np.where(now, 0.0, np.where(reached, high, np.nan))
    return result
