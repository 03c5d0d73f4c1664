"""What a command waits for: from a release to reached, missed, or not yet. Pure; each is total."""

from collections.abc import Callable

from portal_cli.documents import BEFORE_TRAFFIC, Release

Goal = Callable[[Release], bool | None]
"""True: reached. False: it never will be. None: go on waiting."""


def promoted(release: Release) -> bool | None:
    """The candidate is stable."""
    return release.phase == "succeeded" if release.has_ended else None


def on_candidate(release: Release) -> bool | None:
    """Callers' requests reach the candidate."""
    if release.has_ended:
        return release.phase == "succeeded"
    if release.phase == "promoting" or (release.phase in ("canary", "paused") and release.candidate_share):
        return True
    return None


def canary_passed(release: Release) -> bool | None:
    """The canary is left for the promotion, or nothing but somebody's approval is missing for it."""
    if release.has_ended:
        return release.phase == "succeeded"
    if release.phase == "promoting" or (release.phase == "canary" and release.waits_for_approval):
        return True
    return None


def smoke_tested(release: Release) -> bool | None:
    """The smoke test is over, whichever way; its checks tell which."""
    return None if release.phase in BEFORE_TRAFFIC else True


def withdrawn(release: Release) -> bool | None:
    """No traffic is on the candidate any more, and none will come."""
    return release.phase != "succeeded" if release.has_ended else None
