"""Releases that wait for somebody's approval, and whether this person may decide. Decides nothing itself:
`commands.decide_approval` checks everything again."""

from dataclasses import dataclass, replace
from datetime import datetime

from releases.domain.release import Gate, Phase, gate_of
from releases.domain.verdict import Verdict
from releases.models import Approval, Release
from releases.services.approvals import counts, gates
from releases.services.queries.comparison import Comparison, compare
from tenants.access import Actor
from tenants.roles import Capability

CAN_WAIT = (Phase.AWAITING_APPROVAL.value, Phase.CANARY.value, Phase.PAUSED.value)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One release at a gate that is not open yet. `refusal`: why the reader may not decide, if so."""

    release: Release
    gate: Gate
    refusal: str | None
    decisions: tuple[Approval, ...]

    @property
    def is_before_traffic(self) -> bool:
        """At the gate before deployment."""
        return self.release.phase == Phase.AWAITING_APPROVAL

    @property
    def expires_at(self) -> datetime | None:
        """When the release ends by itself."""
        return self.release.approvals_expire_at if self.is_before_traffic else None

    @property
    def verdict(self) -> Verdict | None:
        """What the judge says, once traffic has moved."""
        return None if self.is_before_traffic else self.release.last_verdict()

    @property
    def brief(self) -> Comparison:
        """What the version changes: of the signature only the lines that differ."""
        whole = compare(self.release.stable, self.release.version)
        return replace(whole, signature=whole.changed) if whole.changed else whole

    @property
    def plan_text(self) -> str:
        """The plan in words."""
        return self.release.rollout_plan().describe()

    @property
    def checks_text(self) -> str:
        """ "7 checks passed, 1 skipped" """
        outcomes = [check.outcome for check in self.release.checks.all()]
        passed, skipped = outcomes.count("pass"), outcomes.count("skipped")
        text = f"{passed} check{'' if passed == 1 else 's'} passed"
        return f"{text}, {skipped} skipped" if skipped else text

    @property
    def stable_share(self) -> int:
        """What stable answers, in percent."""
        return 100 - self.release.split_candidate

    @property
    def roll_back_at(self) -> float:
        """The evidence of harm that rolls back."""
        return round(1 / self.release.rollout_plan().alpha, 1)


def waiting(actor: Actor) -> list[Waiting]:
    """All releases of the tenant that wait for an approval, the oldest first."""
    releases = list(
        Release.objects.select_related("endpoint__environment", "endpoint__model", "version__model", "stable")
        .prefetch_related("approvals", "checks")
        .filter(tenant=actor.tenant, phase__in=CAN_WAIT)
        .order_by("id")
    )
    at_gates = gates(releases)
    return [
        Waiting(
            release=release,
            gate=gate,
            refusal=_refusal(actor, release),
            decisions=tuple(d for d in release.approvals.all() if counts(d, release)),
        )
        for release in releases
        if (gate := at_gates[release.pk]).required and not gate.is_open and gate.rejection is None
    ]


def waiting_count(actor: Actor) -> int:
    """How many releases this person may decide on; for the navigation."""
    if not actor.may(Capability.APPROVE):
        return 0
    return sum(item.refusal is None for item in waiting(actor))


def decided_by(actor: Actor, limit: int = 20) -> list[Approval]:
    """The newest decisions of this person."""
    rows = Approval.objects.filter(tenant=actor.tenant, by_identity=actor.identity)
    related = ("release__endpoint__environment", "release__endpoint__model", "release__version")
    return list(rows.select_related(*related).order_by("-at")[:limit])


def _refusal(actor: Actor, release: Release) -> str | None:
    """The same answers as `commands.why_not_decide`, without a query for each release."""
    if not actor.may(Capability.APPROVE):
        return f"A {actor.role} does not approve; an approver or an administrator has to."
    if actor.identity == release.requested_by_identity:
        return "You filed it. Somebody else has to decide."
    gate = gate_of(release.rollout_plan(), release.state())
    if any(d.gate == gate and d.by_identity == actor.identity for d in release.approvals.all()):
        return "You have decided; others are needed as well."
    return None
