"""The banner of a release: state, reason, and the one next thing, in words.

A pure choice of sentences from rows that were read before; takes no decision.
"""

from dataclasses import dataclass
from datetime import datetime

from releases.domain.release import Gate, Phase
from releases.domain.verdict import Verdict, VerdictKind
from releases.models import Release, Transition
from releases.services.history import PORTAL


@dataclass(frozen=True, slots=True)
class Banner:
    """`look` names a state of `templatetags.words`; `next_strong` and `next` are one sentence or two.
    `until` is a moment that belongs to the next thing, shown as a time and as what is left."""

    look: str
    title: str
    reason: str
    next_strong: str
    next: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the banner speaks of. `may_decide`, `may_operate`: the reader, now."""

    release: Release
    verdict: Verdict | None
    gate: Gate
    transitions: tuple[Transition, ...]
    may_decide: bool
    may_operate: bool
    is_held: bool
    hold_ends: datetime | None

    @property
    def name(self) -> str:
        """The candidate's version."""
        return self.release.version.version or str(self.release.version)

    @property
    def stable(self) -> str | None:
        """The stable version's, if there is one."""
        return self.release.stable.version if self.release.stable else None

    @property
    def place(self) -> str:
        """The environment."""
        return self.release.endpoint.environment.name

    def entry(self, phase: Phase) -> Transition | None:
        """The newest line that led into a phase."""
        lines = (line for line in reversed(self.transitions) if line.to_phase == phase)
        return next((line for line in lines if line.from_phase != phase), None)


def banner_of(facts: Facts) -> Banner:
    """The banner for the phase in which the release stands."""
    return _BANNERS[Phase(facts.release.phase)](facts)


def _validating(facts: Facts) -> Banner:
    after = "The approvals come next." if facts.release.approvals_required else "It deploys by itself."
    return Banner("validating", "Validating", facts.release.reason, "Nothing to do.", after)


def _awaiting(facts: Facts) -> Banner:
    given, required = facts.gate.given, facts.gate.required
    entry = facts.entry(Phase.AWAITING_APPROVAL)
    checks = f" {entry.reason}" if entry else ""
    reason = f"{given} of {required} approval{'' if required == 1 else 's'} given.{_sentence(checks)}"
    expires = facts.release.approvals_expire_at
    after = "After that the release is cancelled and has to be filed again." if expires else ""
    if facts.may_decide:
        title, strong = "Waits for your approval", "Decide" if expires is None else "Decide before"
    else:
        title, strong = "Waits for approval", "An approver has to decide" + (", before" if expires else ".")
    return Banner("awaiting_approval", title, reason, strong, after, until=expires)


def _deploying(facts: Facts) -> Banner:
    going_back = facts.release.kind == "return"
    title = f"Going back to {facts.name}" if going_back else "Deploying"
    after = "All callers are still answered by " + (f"{facts.stable}." if facts.stable else "nobody.")
    return Banner("deploying", title, facts.release.reason, "Nothing to do.", after)


def _smoke_testing(facts: Facts) -> Banner:
    after = "The candidate is asked through the real gateway; no caller reaches it yet."
    return Banner("smoke_testing", "Smoke testing", facts.release.reason, "Nothing to do.", after)


_TITLES = {
    VerdictKind.NONE: "The canary has begun",
    VerdictKind.INCONCLUSIVE: "Inconclusive, no harm seen",
    VerdictKind.CERTIFIED: "Certified",
    VerdictKind.HARM: "Harm found",
    VerdictKind.SHARED_INCIDENT: "Both versions fail: a shared incident",
    VerdictKind.NO_DATA: "No requests reach the candidate",
    VerdictKind.UNREACHABLE: "Its figures cannot be read",
}


def _canary(facts: Facts) -> Banner:
    verdict = facts.verdict
    kind = verdict.kind if verdict else VerdictKind.NONE
    title = _TITLES[kind]
    if kind is VerdictKind.INCONCLUSIVE and verdict and not verdict.summary.startswith("no harm"):
        title = "Inconclusive"
    reason = verdict.summary if verdict else facts.release.reason
    plan, step = facts.release.rollout_plan(), facts.release.step
    if plan.stages[step - 1].approval and not facts.gate.is_open:
        strong = "Your approval is asked for." if facts.may_decide else "An approver has to decide."
        return Banner(
            kind.value, title, reason, strong, "It stays at this step until then, judged all the while."
        )
    onward = "Promotes by itself" if step == len(plan.stages) else "Goes to its next step by itself"
    wants = (
        " and the candidate is certified"
        if plan.promotion == "certified" and step == len(plan.stages)
        else ""
    )
    if facts.release.hold_waived or facts.hold_ends is None or facts.hold_ends <= facts.release.phase_since:
        after = f"{onward} as soon as the split is seen in effect{wants}."
    else:
        after = f"{onward} when the hold is over{wants}; the hold ends"
    until = facts.hold_ends if after.endswith("ends") else None
    if kind in (VerdictKind.NO_DATA, VerdictKind.UNREACHABLE, VerdictKind.SHARED_INCIDENT):
        after, until = "It holds: nothing is decided on what is not known.", None
    return Banner(kind.value, title, reason, "Nothing to do.", after, until=until)


def _paused(facts: Facts) -> Banner:
    if facts.may_operate:
        strong, after = (
            "Resume, promote or abort.",
            "The judge keeps watching and rolls back if it finds harm.",
        )
    else:
        strong, after = (
            "An operator has to resume or abort.",
            "The judge keeps watching and rolls back on harm.",
        )
    return Banner("paused", "Paused", facts.release.reason, strong, after)


def _promoting(facts: Facts) -> Banner:
    after = f"{facts.name} becomes stable as soon as the gateway confirms 100 %."
    return Banner("promoting", f"Promoting {facts.name}", facts.release.reason, "Nothing to do.", after)


def _rolling_back(facts: Facts) -> Banner:
    to = f"to {facts.stable}" if facts.stable else "off the candidate"
    after = f"All traffic goes {to}; the gateway has to confirm it."
    return Banner("rolling_back", "Rolling back", _why(facts), "Nothing to do.", after)


def _succeeded(facts: Facts) -> Banner:
    entry = facts.entry(Phase.PROMOTING)
    reason = entry.reason if entry else facts.release.reason
    strong = f"All traffic is on {facts.name}."
    after = f"{facts.stable} can be had back with one click on the endpoint." if facts.stable else ""
    return Banner("succeeded", f"{facts.name} is stable in {facts.place}", reason, strong, after)


def _rolled_back(facts: Facts) -> Banner:
    verdict = facts.verdict
    begun, harmed = facts.entry(Phase.CANARY), facts.entry(Phase.ROLLING_BACK)
    title = "Rolled back"
    if verdict and verdict.kind is VerdictKind.HARM and begun and harmed:
        title = f"Harm found after {(harmed.at - begun.at).total_seconds():.0f} s, rolled back"
    elif harmed and harmed.actor != PORTAL:
        title = f"Aborted by {harmed.actor}, rolled back"
    strong = f"All traffic is on {facts.stable}." if facts.stable else f"Nothing serves in {facts.place}."
    after = f"Mend what failed and release a new version of {facts.release.endpoint.model.name}."
    if facts.is_held:
        after = f"{facts.name} is on hold in {facts.place}: mend it and release a new version."
    return Banner("harm" if "Harm" in title else "rolled_back", title, _why(facts), strong, after)


def _rejected(facts: Facts) -> Banner:
    strong, after = "No traffic has moved.", "Mend what was refused, register a new version and file it."
    return Banner("rejected", "Rejected", facts.release.reason, strong, after)


def _cancelled(facts: Facts) -> Banner:
    return Banner(
        "cancelled", "Cancelled", facts.release.reason, "No traffic has moved.", "Nothing has to be undone."
    )


def _why(facts: Facts) -> str:
    entry = facts.entry(Phase.ROLLING_BACK)
    return entry.reason if entry else facts.release.reason


def _sentence(text: str) -> str:
    text = text.strip()
    return f" {text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


_BANNERS = {
    Phase.VALIDATING: _validating,
    Phase.AWAITING_APPROVAL: _awaiting,
    Phase.DEPLOYING: _deploying,
    Phase.SMOKE_TESTING: _smoke_testing,
    Phase.CANARY: _canary,
    Phase.PAUSED: _paused,
    Phase.PROMOTING: _promoting,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.SUCCEEDED: _succeeded,
    Phase.ROLLED_BACK: _rolled_back,
    Phase.REJECTED: _rejected,
    Phase.CANCELLED: _cancelled,
}
