"""The track of phases across a release's page: what is done, what runs, what comes, what never will."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from releases.domain.release import Phase
from releases.models import Release, Transition

WORDS = {
    Phase.VALIDATING: "Validating",
    Phase.AWAITING_APPROVAL: "Awaiting approval",
    Phase.DEPLOYING: "Deploying",
    Phase.SMOKE_TESTING: "Smoke testing",
    Phase.CANARY: "Canary",
    Phase.PROMOTING: "Promoting",
    Phase.SUCCEEDED: "Succeeded",
}
ORDER = tuple(WORDS)
# The way back and the ends that are not success: shown in the place of what was never reached.
BAD_ENDS = {
    Phase.ROLLING_BACK: "Rolling back",
    Phase.ROLLED_BACK: "Rolled back",
    Phase.REJECTED: "Rejected",
    Phase.CANCELLED: "Cancelled",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One phase on the track. `at`: done, now, next, failed, never, back. `seconds`: how long it took
    or takes so far; `percent`: how far the present one has come, if that is known."""

    at: str
    look: str
    word: str
    tone: str = ""
    note: str = ""
    seconds: float | None = None
    of_seconds: float | None = None
    percent: float | None = None
    is_wide: bool = False


def track_of(release: Release, transitions: Sequence[Transition], now: datetime, given: int) -> list[Mark]:
    """The marks, left to right."""
    phase = Phase(release.phase)
    spent = _spent(transitions, now)
    ended_badly = phase in BAD_ENDS
    shown = [p for p in ORDER if p in spent or (p not in _left_out(release) and not _is_behind(p, phase))]
    present = Phase.CANARY if phase is Phase.PAUSED else phase
    if not ended_badly:
        return [_mark(release, p, present, spent, now, given) for p in shown]
    last = next((p for p in reversed(ORDER) if p in spent), Phase.VALIDATING)
    marks = [
        Mark(
            "failed" if p is last else "done",
            "harm" if p is last else "pass",
            _word(release, p),
            seconds=spent[p],
        )
        if p in spent
        else Mark("never", "never", _word(release, p), note="never reached")
        for p in shown
        if p is not Phase.SUCCEEDED
    ]
    return [*marks, _bad_end(release, phase, transitions)]


def _left_out(release: Release) -> set[Phase]:
    plan = release.rollout_plan()
    left_out = set()
    if not release.approvals_required:
        left_out.add(Phase.AWAITING_APPROVAL)
    if not plan.stages or release.stable_id is None:
        left_out.add(Phase.CANARY)
    if release.kind == "return":
        left_out |= {Phase.VALIDATING, Phase.AWAITING_APPROVAL}
    return left_out


def _is_behind(phase: Phase, present: Phase) -> bool:
    """Whether a phase that was never entered cannot come any more."""
    if present not in ORDER:
        return False
    return ORDER.index(phase) < ORDER.index(present)


def _spent(transitions: Sequence[Transition], now: datetime) -> dict[Phase, float]:
    """Seconds in each phase that was entered; paused counts as canary."""
    entered = [line for line in transitions if line.from_phase != line.to_phase]
    spent: dict[Phase, float] = {}
    for number, line in enumerate(entered):
        phase = Phase.CANARY if line.to_phase == Phase.PAUSED else Phase(line.to_phase)
        until = entered[number + 1].at if number + 1 < len(entered) else now
        spent[phase] = spent.get(phase, 0.0) + (until - line.at).total_seconds()
    return {phase: seconds for phase, seconds in spent.items() if phase in WORDS}


def _mark(
    release: Release, phase: Phase, present: Phase, spent: dict[Phase, float], now: datetime, given: int
) -> Mark:
    word = _word(release, phase)
    if phase is Phase.SUCCEEDED and present is Phase.SUCCEEDED:
        return Mark("back", "succeeded", word, tone="success")
    if phase is not present:
        if phase in spent:
            return Mark("done", "pass", word, seconds=spent[phase])
        return Mark("next", "next", word, note="to 100 %" if phase is Phase.PROMOTING else "")
    look = "paused" if release.phase == Phase.PAUSED else phase.value
    tone = {"canary": "candidate", "paused": "warn", "awaiting_approval": "warn"}.get(look, "active")
    if phase is Phase.CANARY:
        stage = release.rollout_plan().stages[max(0, release.step - 1)]
        held = release.state().held(now.timestamp())
        percent = 100.0 if not stage.hold_seconds else 100 * held / stage.hold_seconds
        return Mark(
            "now",
            look,
            word,
            tone,
            "",
            min(held, stage.hold_seconds),
            stage.hold_seconds,
            percent,
            is_wide=True,
        )
    if phase is Phase.AWAITING_APPROVAL:
        required = release.approvals_required
        note = f"{given} of {required}, "
        return Mark(
            "now", look, word, tone, note, spent.get(phase), None, 100 * given / max(1, required), True
        )
    return Mark("now", look, word, tone, "", spent.get(phase), is_wide=True)


def _word(release: Release, phase: Phase) -> str:
    stages = release.rollout_plan().stages
    if phase is not Phase.CANARY or not stages:
        return WORDS[phase]
    stage = stages[max(0, release.step - 1)]
    word = "Paused" if release.phase == Phase.PAUSED else "Canary"
    share = "mirrored" if stage.split.shadow else f"{stage.split.candidate} %"
    return (
        f"{word} {share}"
        if len(stages) == 1
        else f"{word} {share}, step {max(1, release.step)} of {len(stages)}"
    )


def _bad_end(release: Release, phase: Phase, transitions: Sequence[Transition]) -> Mark:
    if phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        tone = "danger" if phase is Phase.REJECTED else ""
        return Mark("back", phase.value, BAD_ENDS[phase], tone=tone, note="no traffic moved")
    target = f" to {release.stable.version}" if release.stable else ""
    word = BAD_ENDS[phase] + target
    if phase is Phase.ROLLING_BACK:
        return Mark("now", "rolling_back", word, tone="danger")
    begun = next(
        (line.at for line in transitions if line.to_phase == Phase.ROLLING_BACK), release.phase_since
    )
    return Mark(
        "back",
        "back",
        word,
        tone="stable",
        note="in effect after ",
        seconds=(release.phase_since - begun).total_seconds(),
    )
