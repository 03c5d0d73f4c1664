"""What there is to tell of a release that is followed: each change once, whatever arrives how often.

Answers may come twice, out of order, or from before a restart: the history's numbers and the row version
decide what is new. Pure; time is an argument.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from portal_cli import figures
from portal_cli.documents import Release, Transition

HEARTBEAT_SECONDS = 60.0
_JUDGED = ("canary", "paused", "promoting")
_BAD = ("rolling_back", "rejected", "cancelled")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: when (UTC), what of, and a sentence."""

    at: str
    topic: str
    text: str

    def __str__(self) -> str:
        return f"{self.at}  {self.topic:<17}  {self.text}".rstrip()


@dataclass(frozen=True, slots=True)
class Story:
    """What has been told; `spoken_at` in seconds of any clock, `cause` why it ended badly."""

    release: Release
    sequence: int = -1
    verdict: str = "none"
    spoken_at: float = 0.0
    cause: str = ""

    def is_news(self, release: Release) -> bool:
        """Whether a document is not older than what is known; equal ones carry newer verdicts."""
        return release.row_version >= self.release.row_version

    def needs_history(self, release: Release) -> bool:
        """Whether something has happened since the history was read."""
        return self.sequence < 0 or release.row_version != self.release.row_version


def tell_history(story: Story, history: Iterable[Transition], now: float) -> tuple[Story, list[Line]]:
    """The lines of what has not been told yet, in the order in which it happened."""
    fresh = {line.sequence: line for line in history if line.sequence > story.sequence}
    if not fresh:
        return story, []
    lines = [fresh[sequence] for sequence in sorted(fresh)]
    causes = [line.reason for line in lines if line.phase in _BAD]
    told = replace(
        story, sequence=lines[-1].sequence, spoken_at=now, cause=causes[-1] if causes else story.cause
    )
    return told, [Line(line.at, line.phase.replace("_", " "), _said(line)) for line in lines]


def tell_release(story: Story, release: Release, now: float, clock: str) -> tuple[Story, list[Line]]:
    """Take the newer document; a line when the verdict has changed, or as a sign of life once a minute."""
    if not story.is_news(release):
        return story, []
    changed = release.phase in _JUDGED and release.verdict.kind not in ("none", story.verdict)
    told = replace(story, release=release)
    if changed:
        line = Line(clock, "verdict", ": ".join(filter(None, figures.verdict(release))))
        return replace(told, verdict=release.verdict.kind, spoken_at=now), [line]
    if now - story.spoken_at < HEARTBEAT_SECONDS or release.has_ended:
        return told, []
    return replace(told, spoken_at=now), [Line(clock, release.phase.replace("_", " "), _alive(release))]


def _said(line: Transition) -> str:
    is_named = line.actor in ("", "portal") or line.actor in line.reason
    return line.reason if is_named else f"{line.reason} ({line.actor})"


def _alive(release: Release) -> str:
    if release.phase in _JUDGED and release.verdict.summary:
        return f"{release.reason}; {release.verdict.summary}"
    return release.reason or "no change"
