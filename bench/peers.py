"""Flagger's and Argo Rollouts' rules as their documentation gives them, on the same traffic as the judge.

Flagger: every minute the candidate's last minute is checked, success >= 99 % and p99 <= 500 ms; without
traffic the check fails as well; failed checks add up and are never reset; the release is rolled back on the
tick after their number has reached 10. Argo Rollouts: every 5 minutes success >= 95 % in the last 5; it fails
on more than 3 failed measurements. Neither looks at stable. Must not know the judge.
"""

from __future__ import annotations

import numpy as np

from bench.streams import BOUNDS_MS, ArmSecond
from releases.domain.judge.samples import Bools, Floats

FLAGGER_SECONDS, FLAGGER_SUCCESS, FLAGGER_P99_MS, FLAGGER_THRESHOLD = 60, 0.99, 500.0, 10
ARGO_SECONDS, ARGO_SUCCESS, ARGO_FAILURE_LIMIT = 300, 0.95, 3


class Flagger:
    """`releases` analyses side by side; `found` is the second of the rollback, infinite until then."""

    def __init__(self, releases: int) -> None:
        self.found = np.full(releases, np.inf)
        self._failed_checks = np.zeros(releases)
        self._requests, self._errors, self._slow = np.zeros((3, releases))

    def see(self, second: int, candidate: ArmSecond, errors: Floats) -> None:
        """One more second of the candidate; at the end of an interval the check."""
        self._requests += candidate.requests
        self._errors += errors
        if candidate.latency is not None:
            self._slow += candidate.latency[:, int(np.searchsorted(BOUNDS_MS, FLAGGER_P99_MS)) + 1 :].sum(
                axis=1
            )
        if (second + 1) % FLAGGER_SECONDS:
            return
        due = np.isinf(self.found) & (self._failed_checks >= FLAGGER_THRESHOLD)
        self.found[due] = second + 1
        self._failed_checks += self._check_fails()
        self._requests, self._errors, self._slow = np.zeros((3, len(self.found)))

    def _check_fails(self) -> Bools:
        """A p99 of at most 500 ms is: at most 1 % of the answers took longer."""
        failing = _share(self._errors, self._requests) > 1 - FLAGGER_SUCCESS
        slow = _share(self._slow, self._requests) > 0.01
        fails: Bools = (self._requests == 0) | failing | slow
        return fails


class Argo:
    """`releases` analyses side by side; `found` is the second of the failure, infinite until then."""

    def __init__(self, releases: int) -> None:
        self.found = np.full(releases, np.inf)
        self._failed_measurements = np.zeros(releases)
        self._requests, self._errors = np.zeros((2, releases))

    def see(self, second: int, candidate: ArmSecond, errors: Floats) -> None:
        """One more second of the candidate; at the end of an interval the measurement."""
        self._requests += candidate.requests
        self._errors += errors
        if (second + 1) % ARGO_SECONDS:
            return
        self._failed_measurements += _share(self._errors, self._requests) > 1 - ARGO_SUCCESS
        fails = np.isinf(self.found) & (self._failed_measurements > ARGO_FAILURE_LIMIT)
        self.found[fails] = second + 1
        self._requests, self._errors = np.zeros((2, len(self.found)))


def _share(part: Floats, whole: Floats) -> Floats:
    """Rounded, so that just 1 % of 300 is not more than 1 %."""
    share: Floats = np.round(part / np.maximum(whole, 1), 12)
    return share
