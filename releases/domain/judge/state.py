"""What the judge remembers of a release: one vector of float64, and where in it each thing lies.

The database keeps it as bytes beside the sample. Must not know what the numbers mean for a verdict.
"""

from __future__ import annotations

import numpy as np

from releases.domain.judge.factors import CERTIFICATE_SHARES, LIMIT_ODDS, ODDS_RATIOS
from releases.domain.judge.samples import Floats

LAYOUT = 1.0
"""Raised whenever a slot moves, so that old bytes are refused and never misread."""

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

_REL = 15
_LIMIT = _REL + len(ODDS_RATIOS)
_STABLE_LIMIT = _LIMIT + len(LIMIT_ODDS)
_CERTIFICATE = _STABLE_LIMIT + len(LIMIT_ODDS)
STATE_SIZE = _CERTIFICATE + len(CERTIFICATE_SHARES)

REL = slice(_REL, _LIMIT)
"""log M of candidate against stable, one per odds ratio."""
LIMIT = slice(_LIMIT, _STABLE_LIMIT)
"""log M of the candidate against the error limit."""
STABLE_LIMIT = slice(_STABLE_LIMIT, _CERTIFICATE)
"""log M of stable against the same limit, for blame."""
CERTIFICATE = slice(_CERTIFICATE, STATE_SIZE)
"""Log evidence that the candidate keeps its limit, one per share."""

FIRST_WEIGHT = 0.5
"""Restart weight that is spent at the beginning."""


class StateLayoutError(ValueError):
    """Stored bytes that this version of the judge cannot read."""


def initial_state(releases: int) -> Floats:
    """The state before the first sample; shape (releases, STATE_SIZE)."""
    state = np.zeros((releases, STATE_SIZE))
    state[:, LAYOUT_SLOT] = LAYOUT
    for restarted in (REL, LIMIT, STABLE_LIMIT):
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
