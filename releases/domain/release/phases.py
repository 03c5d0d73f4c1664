"""The phases of a release, what they have in common, and what a person may ask for in them."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a release is."""

    VALIDATING = "validating"
    AWAITING_APPROVAL = "awaiting_approval"
    DEPLOYING = "deploying"
    SMOKE_TESTING = "smoke_testing"
    CANARY = "canary"
    PAUSED = "paused"
    PROMOTING = "promoting"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.REJECTED, Phase.CANCELLED})
ACTIVE = frozenset(Phase) - TERMINAL
# No request of a caller has reached the candidate yet.
BEFORE_TRAFFIC = frozenset({Phase.VALIDATING, Phase.AWAITING_APPROVAL, Phase.DEPLOYING, Phase.SMOKE_TESTING})
# The judge looks at these.
JUDGED = frozenset({Phase.CANARY, Phase.PAUSED, Phase.PROMOTING})
# The candidate has to be running.
DEPLOYED = JUDGED | {Phase.DEPLOYING, Phase.SMOKE_TESTING}


class Act(StrEnum):
    """What a person may ask of a running release."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


_POSSIBLE: dict[Act, frozenset[Phase]] = {
    Act.PAUSE: frozenset({Phase.CANARY}),
    Act.RESUME: frozenset({Phase.PAUSED}),
    Act.PROMOTE: frozenset({Phase.CANARY, Phase.PAUSED}),
    Act.ABORT: BEFORE_TRAFFIC | JUDGED,
}


def is_possible(act: Act, phase: Phase) -> bool:
    """Whether an act means anything in a phase."""
    return phase in _POSSIBLE[act]
