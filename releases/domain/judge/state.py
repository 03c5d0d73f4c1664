"""What the judge remembers of a release: one vector of float64, and where in it each thing lies.

The database keeps it as bytes beside the sample. Must not know what the numbers mean for a verdict.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.factors import CERTIFICATE_SHARES, LIMIT_ODDS, ODDS_RATIOS
from releases.domain.judge.samples import MOST_BINS, MOST_BUCKETS, Floats

LAYOUT = 3.0
"""Raised whenever a slot moves, so that old bytes are refused and never misread."""

MOST_THRESHOLDS = 8
"""Latency bounds at which the arms are compared."""
LATENCY_RATIOS = np.array([1.15, 1.35, 1.7, 2.5, 5.0, 20.0])
"""Odds ratios of "slower than the bound"."""
HAZARD_RATIOS = 1 / np.array([1.1, 1.25, 1.5, 2.0, 3.5, 8.0])
"""Of the chance to be answered in the next bucket, for who waits still: below 1 is slower."""
MOST_CUTS = 6
"""Edges between prediction bins at which the arms are compared."""
PREDICTION_RATIOS = np.array([1.35, 2.0, 5.0])
"""Odds ratios, over the margin, of "predicted above the edge"; their inverses as well."""

LAYOUT_SLOT = 0
ELAPSED = 1
"""Seconds sampled since the split, the warm-up included."""
JUDGED = 2
"""Seconds judged: they drive the restart weights."""
STABLE_REQUESTS, STABLE_ERRORS, CANDIDATE_REQUESTS, CANDIDATE_ERRORS = 3, 4, 5, 6
"""Counts of all that was judged, for rates and intervals."""
PENDING = slice(7, 11)
"""The same four counts that wait for the other arm to be read, so that both cover the same time."""
BLOCKED = 11
"""1 when the arms do not cover the same time; the next sample with both ends that."""
RECENT_SECONDS, RECENT_STABLE, RECENT_CANDIDATE = 12, 13, 14
"""Seconds and requests, fading: the present traffic is their quotient."""
GAP = 15
"""1 when just one arm was read since both were, so that the next increments cover unlike times."""
STABLE_TIMED, STABLE_SLOW, CANDIDATE_TIMED, CANDIDATE_SLOW = 16, 17, 18, 19
"""Answers of known latency, and how many of them were slower than the latency limit."""
TOP_BOUND = 20
"""The largest bound in ms of any histogram so far; 0 when there never was one."""
STABLE_COMPARED, CANDIDATE_COMPARED = 21, 22
"""Answers of known latency since the bounds were chosen."""
CUTS_CHOSEN = 23
"""1 once the edges between prediction bins are chosen."""

EXPECTED_ERRORS = 24
"""Errors that the candidate would have made, had it failed as often as stable in the same samples."""

CANDIDATE_SEEN = 25
"""Answers of the candidate whose latency is known, from the very first on."""

REL = slice(26, 26 + len(ODDS_RATIOS))
"""log M of candidate against stable, one per odds ratio."""
LIMIT = slice(REL.stop, REL.stop + len(LIMIT_ODDS))
"""log M of the candidate against the error limit."""
STABLE_LIMIT = slice(LIMIT.stop, LIMIT.stop + len(LIMIT_ODDS))
"""log M of stable against the same limit, for blame."""
CERTIFICATE = slice(STABLE_LIMIT.stop, STABLE_LIMIT.stop + len(CERTIFICATE_SHARES))
"""Log evidence that the candidate keeps its limit, one per share."""
SLOW_LIMIT = slice(CERTIFICATE.stop, CERTIFICATE.stop + len(LIMIT_ODDS))
STABLE_SLOW_LIMIT = slice(SLOW_LIMIT.stop, SLOW_LIMIT.stop + len(LIMIT_ODDS))
SLOW_CERTIFICATE = slice(STABLE_SLOW_LIMIT.stop, STABLE_SLOW_LIMIT.stop + len(CERTIFICATE_SHARES))
"""The same three for the latency limit."""
RANKS = slice(SLOW_CERTIFICATE.stop, SLOW_CERTIFICATE.stop + len(HAZARD_RATIOS))
"""log M of the log-rank test, one per hazard ratio."""
BOUNDS = slice(RANKS.stop, RANKS.stop + MOST_THRESHOLDS)
"""The latency bounds in ms at which the arms are compared; 0 where there is none."""
ABOVE_STABLE = slice(BOUNDS.stop, BOUNDS.stop + MOST_THRESHOLDS)
ABOVE_CANDIDATE = slice(ABOVE_STABLE.stop, ABOVE_STABLE.stop + MOST_THRESHOLDS)
"""Answers slower than each of them."""
EXPECTED_ABOVE = slice(ABOVE_CANDIDATE.stop, ABOVE_CANDIDATE.stop + MOST_THRESHOLDS)
"""The candidate's, had it been as fast as stable in the same samples."""
THRESHOLDS = slice(EXPECTED_ABOVE.stop, EXPECTED_ABOVE.stop + MOST_THRESHOLDS * len(LATENCY_RATIOS))
"""log M at each bound and odds ratio, bound by bound. Until bounds are chosen nothing is tested, and
the first of these slots hold stable's histogram, from which they will be."""
HISTOGRAM = slice(THRESHOLDS.start, THRESHOLDS.start + MOST_BUCKETS)
DRIFT_FLAG = slice(THRESHOLDS.stop, THRESHOLDS.stop + 1)
"""log M of "the predictions differ at all"."""
CUTS = slice(DRIFT_FLAG.stop, DRIFT_FLAG.stop + MOST_CUTS)
"""Prediction bins at whose upper edge the arms are compared; -1 where there is none."""
DRIFT = slice(CUTS.stop, CUTS.stop + 2 * MOST_CUTS * len(PREDICTION_RATIOS))
"""log M of "more above the edge", edge by edge, then the same of "fewer"."""
PREDICTED_STABLE = slice(DRIFT.stop, DRIFT.stop + MOST_BINS)
PREDICTED_CANDIDATE = slice(PREDICTED_STABLE.stop, PREDICTED_STABLE.stop + MOST_BINS)
"""Predictions per bin."""
SCATTER_ERRORS = slice(PREDICTED_CANDIDATE.stop, PREDICTED_CANDIDATE.stop + 6)
SCATTER_LATENCY = slice(SCATTER_ERRORS.stop, SCATTER_ERRORS.stop + 5 + MOST_THRESHOLDS)
"""How stable's errors, and its answers above each bound, scatter: see `scatter`."""
STATE_SIZE = SCATTER_LATENCY.stop

FIRST_WEIGHT = 0.5
"""Restart weight that is spent at the beginning."""
RESTARTED = (
    REL,
    LIMIT,
    STABLE_LIMIT,
    SLOW_LIMIT,
    STABLE_SLOW_LIMIT,
    RANKS,
    DRIFT,
    DRIFT_FLAG,
)
"""The slots of tests that restart, apart from THRESHOLDS, which begin with the choice of bounds."""


class StateLayoutError(ValueError):
    """Stored bytes that this version of the judge cannot read."""


def initial_state(releases: int) -> Floats:
    """The state before the first sample; shape (releases, STATE_SIZE)."""
    state = np.zeros((releases, STATE_SIZE))
    state[:, LAYOUT_SLOT] = LAYOUT
    state[:, CUTS] = -1
    for restarted in RESTARTED:
        state[:, restarted] = np.log(FIRST_WEIGHT)
    return state


def state_to_bytes(row: Floats) -> bytes:
    """One release's row of the state, as it is stored."""
    return np.asarray(row, dtype="<f8").tobytes()


def state_from_bytes(stored: bytes) -> Floats:
    """The row again; raises StateLayoutError on bytes of another layout."""
    if len(stored) != 8 * STATE_SIZE:
        raise StateLayoutError(f"{len(stored)} bytes of evidence, expected {8 * STATE_SIZE}")
    row = np.frombuffer(stored, dtype="<f8").astype(np.float64)
    if row[LAYOUT_SLOT] != LAYOUT:
        raise StateLayoutError(f"evidence of layout {row[LAYOUT_SLOT]:g}, expected {LAYOUT:g}")
    return row
