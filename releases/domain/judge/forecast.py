"""How long until the certificate, if traffic and errors go on as they are.

The median: half of all releases take longer. Must not know the clock.
"""

from __future__ import annotations

import numpy as np
from scipy.special import pdtr

from releases.domain.judge.factors import log_certificate_factor
from releases.domain.judge.restart import log_mean_exp
from releases.domain.judge.samples import Floats

LONGEST_SECONDS = 30 * 86400.0
"""A forecast beyond this is not given: nobody waits for it."""
MOST_ERRORS = 40
"""Paths with more errors to come are not followed one by one."""
FEW_ERRORS, FIRST_PASSAGE = 3, 0.75
"""With more than a few errors to come, paths reach the limit between two errors and fall again: half of
them have been there by this share of the time at which half of them are (0.74 to 0.83 by simulation, for
0.4 to 0.6 of the limit)."""
_HALVINGS = 26


def seconds_to_certificate(
    log_certificates: Floats,
    requests_per_second: Floats,
    error_rate: Floats,
    limit: Floats,
    log_certify: Floats,
) -> Floats:
    """Median seconds until the mean of the certificates reaches 1/beta.

    `log_certificates` is (R, 6), the others (R,); zeros forecast a release that has not begun.
    Evidence rises from request to request and falls with each error. With just k errors to come it is
    reached after T_k; the median is the first T_k by which no more than k come in half of all cases.
    NaN where it is never reached, or not within LONGEST_SECONDS: no traffic, or too many errors.
    """
    # What needs many errors to come is told by the expected path, which is near the median then.
    result = _reached(log_certificates, requests_per_second, error_rate, limit, log_certify)
    result *= FIRST_PASSAGE
    open_rows = np.flatnonzero(~np.isnan(result))
    for errors in range(MOST_ERRORS + 1):
        if not len(open_rows):
            break
        rows = open_rows
        cost = log_certificate_factor(
            np.full(len(rows), float(errors)), np.full(len(rows), float(errors)), limit[rows]
        )
        seconds = _reached(
            log_certificates[rows] + cost,
            requests_per_second[rows],
            np.zeros(len(rows)),
            limit[rows],
            log_certify[rows],
        )
        likely = pdtr(errors, requests_per_second[rows] * error_rate[rows] * np.nan_to_num(seconds)) >= 0.5
        done = likely & ~np.isnan(seconds)
        result[rows[done]] = seconds[done] * (1.0 if errors <= FEW_ERRORS else FIRST_PASSAGE)
        open_rows = rows[~done]
    return result


def _reached(
    log_certificates: Floats,
    requests_per_second: Floats,
    error_rate: Floats,
    limit: Floats,
    log_certify: Floats,
) -> Floats:
    """The same when every second is the expected one; NaN where it is not reached."""
    growth = log_certificate_factor(requests_per_second, requests_per_second * error_rate, limit)

    def short(seconds: Floats) -> Floats:
        return log_certify - log_mean_exp(log_certificates + growth * seconds[:, None])

    low, high = np.zeros_like(limit), np.full_like(limit, LONGEST_SECONDS)
    now, reached = short(low) <= 0, short(high) <= 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        there = short(middle) <= 0
        high = np.where(there, middle, high)
        low = np.where(there, low, middle)
    result: Floats = np.where(now, 0.0, np.where(reached, high, np.nan))
    return result
