"""The portal's documents as values: a release, its history, its checks.

Reading is lenient, for a newer portal may say more or less; every text comes out as one harmless line. What
is needed to go on (id and phase of a release) has to be there. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from portal_cli.errors import NotReachable
from portal_cli.plain import plain

PHASES = (
    "validating",
    "awaiting_approval",
    "deploying",
    "smoke_testing",
    "canary",
    "paused",
    "promoting",
    "rolling_back",
    "succeeded",
    "rolled_back",
    "rejected",
    "cancelled",
)
ENDED = frozenset({"succeeded", "rolled_back", "rejected", "cancelled"})
BEFORE_TRAFFIC = frozenset({"validating", "awaiting_approval", "deploying", "smoke_testing"})


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one arm, and how many of them a rule counts."""

    requests: int
    errors: int

    @classmethod
    def read(cls, value: object) -> Self | None:
        """None when the arm has not been counted."""
        if not isinstance(value, Mapping):
            return None
        return cls(_whole(value.get("requests")), _whole(value.get("errors")))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the judge; `evidence` decides when it reaches `limit`, `interval` is a share of 1."""

    name: str
    state: str
    evidence: float
    limit: float
    candidate: Counts | None
    stable: Counts | None
    interval: tuple[float, float] | None
    counted: str
    explanation: str

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """One rule of a verdict."""
        between = value.get("interval")
        known = isinstance(between, list) and len(between) == 2
        return cls(
            name=plain(value.get("rule", "")).replace("_", " "),
            state=_text(value, "state"),
            evidence=_number(value.get("evidence")),
            limit=_number(value.get("limit")),
            candidate=Counts.read(value.get("candidate")),
            stable=Counts.read(value.get("stable")),
            interval=(_number(between[0]), _number(between[1])) if known and between else None,
            counted=_text(value, "counted") or "errors",
            explanation=_text(value, "explanation"),
        )

    @property
    def is_on(self) -> bool:
        """Whether the plan asks for it."""
        return self.state != "off"

    @property
    def progress(self) -> float:
        """How far the evidence is on its way to the limit, 0 to 1; evidence multiplies, so by logarithms."""
        if not (self.evidence > 1 and self.limit > 1):
            return 0.0
        return min(1.0, math.log(self.evidence) / math.log(self.limit))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says."""

    kind: str = "none"
    summary: str = ""
    rules: tuple[Rule, ...] = ()

    @classmethod
    def read(cls, value: object) -> Self:
        """A verdict; the empty one when there is none."""
        if not isinstance(value, Mapping):
            return cls()
        return cls(
            _text(value, "kind") or "none",
            _text(value, "summary"),
            tuple(Rule.read(rule) for rule in _objects(value.get("rules"))),
        )

    @property
    def shown_rules(self) -> tuple[Rule, ...]:
        """Those that the plan asks for."""
        return tuple(rule for rule in self.rules if rule.is_on)


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the portal tells it at one moment; `document` is what it said, word for word."""

    document: Mapping[str, Any]
    id: str
    model: str
    version: str
    environment: str
    phase: str
    reason: str
    row_version: int
    step: int
    stable: str
    candidate_share: int
    requested_by: str
    digest: str
    plan: Mapping[str, Any]
    approvals_required: int
    approvals_given: int
    verdict: Verdict
    forecast: str
    page: str

    @classmethod
    def read(cls, document: object) -> Self:
        """Raises `NotReachable` when this is no release."""
        if not (
            isinstance(document, Mapping)
            and isinstance(document.get("id"), str)
            and isinstance(document.get("phase"), str)
        ):
            raise NotReachable("What answers is not the portal's API: there is no release in its answer.")
        gate, plan = _object(document, "approvals"), _object(document, "plan")
        return cls(
            document=document,
            id=_text(document, "id"),
            model=_text(document, "model"),
            version=_text(document, "version"),
            environment=_text(document, "environment"),
            phase=_text(document, "phase"),
            reason=_text(document, "reason"),
            row_version=_whole(document.get("row_version")),
            step=_whole(document.get("step")),
            stable=_text(document, "stable"),
            candidate_share=_whole(_object(document, "split").get("candidate")),
            requested_by=_text(document, "requested_by"),
            digest=_text(document, "digest"),
            plan=plan,
            approvals_required=_whole(gate.get("required")),
            approvals_given=_whole(gate.get("given")),
            verdict=Verdict.read(document.get("verdict")),
            forecast=_text(_object(document, "forecast"), "sentence"),
            page=_text(_object(document, "_links"), "page"),
        )

    @property
    def title(self) -> str:
        """What is released where: "wine 1.4.0 → production"."""
        return f"{self.model} {self.version} → {self.environment}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ENDED

    @property
    def waits_for_approval(self) -> bool:
        """Whether it stands until somebody agrees, before its deployment or at the end of a step's hold."""
        if self.phase == "awaiting_approval":
            return True
        lacks = self.approvals_given < self.approvals_required
        return self.phase == "canary" and lacks and "waits for approval" in self.reason

    @property
    def plan_in_words(self) -> str:
        """ "10 % for 300 s, then 100 %; errors at most 1 %"."""
        steps = []
        shadow = _whole(self.plan.get("shadow_seconds"))
        if shadow:
            steps.append(f"mirrored for {shadow} s")
        for step in _objects(self.plan.get("steps")):
            approved = " and an approval" if step.get("approval") else ""
            held = _whole(step.get("hold_seconds"))
            steps.append(f"{_whole(step.get('weight'))} % for {held} s{approved}")
        steps.append("100 %" if steps else "straight to 100 %")
        words = ", then ".join(steps)
        largest = _object(self.plan, "rules").get("error_rate_max")
        if isinstance(largest, int | float) and len(steps) > 1:
            words += f"; errors at most {100 * largest:.3g} %"
        return words


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a release's history."""

    sequence: int
    at: str
    phase: str
    reason: str
    actor: str

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """One entry of `transitions/`."""
        return cls(
            _whole(value.get("sequence")),
            _clock(value.get("at")),
            _text(value, "to_phase"),
            _text(value, "reason"),
            _text(value, "actor"),
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the validation or of the smoke test."""

    stage: str
    name: str
    outcome: str
    reason: str

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """One entry of `checks/`."""
        return cls(*(_text(value, name) for name in ("stage", "name", "outcome", "reason")))


def transitions(values: object) -> tuple[Transition, ...]:
    """The history, as it came."""
    return tuple(Transition.read(value) for value in _objects(values))


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return "" if found is None else plain(found)


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _objects(values: object) -> Sequence[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e301 else 0.0


def _whole(value: object) -> int:
    number = _number(value)
    return int(number) if math.isfinite(number) else 0


def _clock(value: object) -> str:
    """ "03:07:12" in UTC; what is no time is shown as it came."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC).strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return plain(value, 20)
