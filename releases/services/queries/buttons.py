"""Which acts the page of a release offers, and in which words. Decides nothing."""

from dataclasses import dataclass

from releases.domain.release import Phase
from releases.models import Release

WITH_TRAFFIC = frozenset({Phase.CANARY, Phase.PAUSED, Phase.PROMOTING})


@dataclass(frozen=True, slots=True)
class Button:
    """An act that is possible now, for this reader."""

    act: str
    word: str
    icon: str
    css: str = ""


def buttons_of(release: Release, allowed: dict[str, str | None]) -> list[Button]:
    """The acts that are possible and not asked for yet; `allowed`: act -> why not, None if it is."""
    before_traffic = release.started_at is None and release.phase not in WITH_TRAFFIC
    abort = (
        Button("abort", "Withdraw", "close")
        if before_traffic
        else Button("abort", "Abort and roll back", "undo", "danger")
    )
    every = [
        Button("resume", "Resume", "play", "primary"),
        Button("pause", "Pause", "pause"),
        Button("promote", "Promote now", "skip"),
        abort,
    ]
    asked = release.intent
    return [button for button in every if allowed[button.act] is None and button.act != asked]
