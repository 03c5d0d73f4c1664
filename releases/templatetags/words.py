"""Every state of the product with its word, its shape and its tone: the one place that pairs them.

A shape is the name of a symbol in `static/portal/icons.svg`; a tone is a name that `portal.css` gives
three colours. Knows nothing of markup.
"""

from typing import NamedTuple


class Look(NamedTuple):
    """How a state is shown: never by colour alone."""

    word: str
    shape: str
    tone: str


LOOKS = {
    "validating": Look("Validating", "s-progress", "active"),
    "awaiting_approval": Look("Awaiting approval", "s-awaiting", "warn"),
    "deploying": Look("Deploying", "s-progress", "active"),
    "smoke_testing": Look("Smoke testing", "s-progress", "active"),
    "canary": Look("Canary", "s-canary", "candidate"),
    "paused": Look("Paused", "s-paused", "warn"),
    "promoting": Look("Promoting", "s-progress", "active"),
    "succeeded": Look("Succeeded", "s-succeeded", "success"),
    "rolling_back": Look("Rolling back", "s-progress", "danger"),
    "rolled_back": Look("Rolled back", "s-rolled-back", "danger"),
    "rejected": Look("Rejected", "s-rejected", "danger"),
    "cancelled": Look("Cancelled", "s-cancelled", ""),
    "none": Look("No verdict", "s-next", ""),
    "inconclusive": Look("Inconclusive", "s-inconclusive", ""),
    "certified": Look("Certified", "s-certified", "success"),
    "harm": Look("Harm", "s-harm", "danger"),
    "shared_incident": Look("Shared incident", "s-shared", "warn"),
    "no_data": Look("No data", "s-no-data", ""),
    "unreachable": Look("Unreachable", "s-unreachable", "warn"),
    "ok": Look("No harm", "s-pass", "success"),
    "flag": Look("Flagged", "s-flag", "warn"),
    "notice": Look("Worth a look", "s-notice", "active"),
    "off": Look("Off", "s-skipped", ""),
    "running": Look("Running", "s-progress", "active"),
    "pass": Look("Passed", "s-pass", "success"),
    "fail": Look("Failed", "s-fail", "danger"),
    "skipped": Look("Skipped", "s-skipped", ""),
    "up": Look("Healthy", "s-up", "success"),
    "degraded": Look("Degraded", "s-shared", "warn"),
    "unknown": Look("Not known", "s-no-data", "warn"),
    "down": Look("Down", "s-harm", "danger"),
    "hold": Look("On hold", "lock", "danger"),
    "drift": Look("Drifted", "s-shared", "warn"),
    "approved": Look("Approved", "s-pass", "success"),
    "disapproved": Look("Rejected", "s-rejected", "danger"),
    "missing": Look("Missing", "s-next", ""),
    "next": Look("Next", "s-next", ""),
    "never": Look("Never reached", "s-skipped", ""),
    "stable": Look("Stable", "s-up", "stable"),
    "waiting": Look("Waiting", "s-awaiting", "warn"),
    "delivered": Look("Heard", "s-pass", "success"),
    "gave_up": Look("Given up", "s-fail", "danger"),
    "back": Look("Back on stable", "s-rolled-back", "stable"),
}
