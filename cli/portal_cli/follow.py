"""Follow a release until a goal is decided. The release does not need this: it lives in the portal.

Waits by the long poll, reads the history when something has happened, tells each change once. Survives
whatever the patience of `http` survives.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portal_cli.display import Display
from portal_cli.documents import Release, Transition
from portal_cli.errors import StillRunning
from portal_cli.figures import phase_in_words
from portal_cli.goals import Goal
from portal_cli.portal import Portal
from portal_cli.story import Line, Story, tell_history, tell_release

AT_ONCE_SECONDS = 0.2


@dataclass(slots=True)
class Follower:
    """What is known of one release, and how it comes to be known. `deadline` is a moment of `clock`."""

    portal: Portal
    display: Display
    deadline: float
    timeout: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    story: Story | None = None
    history: Sequence[Transition] = field(default_factory=tuple)

    @property
    def cause(self) -> str:
        """Why it went back, as far as it is known."""
        return "" if self.story is None else self.story.cause

    def begin(self, release: Release) -> None:
        """Begin to follow; another release begins another story."""
        if self.story is None or self.story.release.id != release.id:
            self.story, self.history = Story(release, spoken_at=self.clock()), ()
            self.display.begin(release)

    def until(self, release: Release, goal: Goal) -> tuple[Release, bool]:
        """Follow until the goal is reached or missed; raises `StillRunning` when the time is over."""
        self.begin(release)
        known = self.take(release)
        while (decided := goal(known)) is None:
            left = self.deadline - self.clock()
            if left <= 0:
                raise StillRunning(
                    f"Still {phase_in_words(known.phase)} after {self.timeout:.0f} s ({known.reason}). "
                    f"The release goes on; follow it with: {again(known)}"
                )
            known = self.take(self._wait(known, min(left, self.display.pace_seconds)))
        return known, decided

    def take(self, release: Release) -> Release:
        """Take a document in and tell what is new of it; the newest document, which may be an older one."""
        story = self.story or Story(release, spoken_at=self.clock())
        lines: list[Line] = []
        if story.is_news(release) and story.needs_history(release):
            self.history = self.portal.history(release.id)
            story, lines = tell_history(story, self.history, self.clock())
        clock = datetime.now(UTC).strftime("%H:%M:%S")
        story, more = tell_release(story, release, self.clock(), clock)
        for line in [*lines, *more]:
            self.display.line(line)
        self.story = story
        self.display.show(story.release)
        return story.release

    def _wait(self, known: Release, seconds: float) -> Release:
        asked = self.clock()
        answer = self.portal.wait(known, max(1, math.ceil(seconds)))
        if answer.phase == known.phase and self.clock() - asked < AT_ONCE_SECONDS:
            self.sleep(1.0)  # something between does not let the portal wait; do not run in circles
        return answer


def again(release: Release) -> str:
    """The command that follows a release to its end."""
    return f"portal status --wait --release {release.id}"
