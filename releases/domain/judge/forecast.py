"""How long until the certificate, if traffic and errors go on as they are.

The expected path only, so about half of all releases take longer. Must not know the clock.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.factors import log_certificate_factor
from releases.domain.judge.restart import log_mean_exp
from releases.domain.judge.samples import Floats

LONGEST_SECONDS = 30 * 86400.0
"""A forecast beyond this is not given: nobody waits for it."""
_HALVINGS = 40


def seconds_to_certificate(
    log_certificates: Floats,
    requests_per_second: Floats,
    error_rate: Floats,
    limit: Floats,
    log_certify: Floats,
) -> Floats:
    """Seconds until the mean of the certificates, each growing by its expected rate, reaches 1/beta.

    `log_certificates` is (R, 6), the others (R,); zeros forecast a release that has not begun.
    NaN where it is never reached, or not within LONGEST_SECONDS: no traffic, or too many errors.
    """
    growth = log_certificate_factor(
        requests_per_second, requests_per_second * error_rate, limit
    )  # per second: a sample of the expected counts

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
