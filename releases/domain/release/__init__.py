"""The state machine of a release: states, what can be seen, and `decide`.

Pure: no clock, no Django, no vendor. `decide` is total and deterministic; the reconciler calls it with what
it has seen and does what the returned state says. Invariants (checked with Hypothesis):

* the split is the weight of one of the plan's stages, 0 or 100;
* no stage is skipped, save that a person may end a hold early;
* no path leads from a verdict of harm to a larger split;
* a terminal phase is never left; every other phase has a wake-up.
"""

from releases.domain.release.deciding import decide
from releases.domain.release.observation import (
    Effect,
    Gate,
    Intent,
    Observation,
    Progress,
    Seen,
    TargetState,
    Work,
)
from releases.domain.release.phases import (
    ACTIVE,
    BEFORE_TRAFFIC,
    DEPLOYED,
    JUDGED,
    TERMINAL,
    Act,
    Phase,
    is_possible,
)
from releases.domain.release.state import Decision, ReleaseState, gate_of, start

__all__ = [
    "ACTIVE",
    "BEFORE_TRAFFIC",
    "DEPLOYED",
    "JUDGED",
    "TERMINAL",
    "Act",
    "Decision",
    "Effect",
    "Gate",
    "Intent",
    "Observation",
    "Phase",
    "Progress",
    "ReleaseState",
    "Seen",
    "TargetState",
    "Work",
    "decide",
    "gate_of",
    "is_possible",
    "start",
]
