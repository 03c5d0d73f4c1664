"""What the judge says of a release: one kind, one sentence, and every rule with its numbers.

Plain values that pages, the API and the record read. Knows neither the arithmetic behind them
(`releases.domain.judge`) nor the database.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LARGEST_EVIDENCE = 1e300
"""Evidence has no upper bound, JSON has: larger values are written as this one."""


class VerdictKind(StrEnum):
    NONE = "none"
    """Nothing has been sampled yet."""
    INCONCLUSIVE = "inconclusive"
    CERTIFIED = "certified"
    HARM = "harm"
    SHARED_INCIDENT = "shared_incident"
    NO_DATA = "no_data"
    UNREACHABLE = "unreachable"


class RuleState(StrEnum):
    OK = "ok"
    HARM = "harm"
    INCONCLUSIVE = "inconclusive"
    CERTIFIED = "certified"
    FLAG = "flag"
    """Speaks of harm: half way to its limit on a log scale, or broken without blame."""
    NOTICE = "notice"
    """Worth a look, and speaks of no harm: predictions that differ a little."""
    NO_DATA = "no_data"
    OFF = "off"


Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """`errors`: those of the requests that a rule counts: failed, too slow, or predicted so."""

    requests: int
    errors: int

    @property
    def rate(self) -> float | None:
        """Share of those that are counted; None without a request."""
        return self.errors / self.requests if self.requests else None

    def to_json(self) -> dict[str, int]:
        return {"requests": self.requests, "errors": self.errors}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ArmCounts:
        return cls(requests=int(data["requests"]), errors=int(data["errors"]))


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule. `evidence` decides when it reaches `limit`; `interval` is the candidate's rate.

    `counted` says what the arms' `errors` are: "errors", "slower than 25 ms", "predicted class_2".
    """

    rule: str
    state: RuleState
    evidence: float
    limit: float
    stable: ArmCounts | None
    candidate: ArmCounts | None
    interval: Interval | None
    explanation: str
    stable_interval: Interval | None = None
    counted: str = "errors"

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "state": self.state.value,
            "evidence": finite(self.evidence),
            "limit": finite(self.limit),
            "stable": self.stable.to_json() if self.stable else None,
            "candidate": self.candidate.to_json() if self.candidate else None,
            "interval": list(self.interval) if self.interval else None,
            "stable_interval": list(self.stable_interval) if self.stable_interval else None,
            "counted": self.counted,
            "explanation": self.explanation,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RuleVerdict:
        return cls(
            rule=str(data["rule"]),
            state=RuleState(data["state"]),
            evidence=float(data["evidence"]),
            limit=float(data["limit"]),
            stable=ArmCounts.from_json(data["stable"]) if data.get("stable") else None,
            candidate=ArmCounts.from_json(data["candidate"]) if data.get("candidate") else None,
            interval=_interval(data.get("interval")),
            explanation=str(data["explanation"]),
            stable_interval=_interval(data.get("stable_interval")),
            counted=str(data.get("counted", "errors")),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole verdict. `harm_evidence` is what rolls back at 1/alpha, `certificate_evidence` what
    certifies at 1/beta (the least of all limits; None without a limit that can be certified).
    `driven_by`: the rules that a verdict of harm rests on, the strongest first."""

    kind: VerdictKind
    summary: str
    rules: tuple[RuleVerdict, ...] = ()
    harm_evidence: float = 1.0
    certificate_evidence: float | None = None
    seconds_to_certificate: float | None = None
    driven_by: tuple[str, ...] = ()

    @property
    def nothing_speaks_against(self) -> bool:
        """Is a larger split defensible without a certificate?

        False while a rule has no data, is flagged (suspicion, or a limit broken without blame) or
        says harm, and for every kind that holds. Without any rule that is on, nothing speaks.
        """
        if self.kind not in (VerdictKind.CERTIFIED, VerdictKind.INCONCLUSIVE):
            return False
        speaking = (RuleState.HARM, RuleState.FLAG, RuleState.NO_DATA)
        return not any(rule.state in speaking for rule in self.rules)

    @property
    def evidence_by_rule(self) -> dict[str, float]:
        """The evidence of every rule that is on and has anything to judge."""
        silent = (RuleState.OFF, RuleState.NO_DATA)
        return {rule.rule: rule.evidence for rule in self.rules if rule.state not in silent}

    def to_json(self) -> dict[str, Any]:
        certificate = self.certificate_evidence
        return {
            "kind": self.kind.value,
            "summary": self.summary,
            "rules": [rule.to_json() for rule in self.rules],
            "harm_evidence": finite(self.harm_evidence),
            "certificate_evidence": None if certificate is None else finite(certificate),
            "seconds_to_certificate": self.seconds_to_certificate,
            "driven_by": list(self.driven_by),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        certificate, seconds = data.get("certificate_evidence"), data.get("seconds_to_certificate")
        return cls(
            kind=VerdictKind(data["kind"]),
            summary=str(data["summary"]),
            rules=tuple(RuleVerdict.from_json(rule) for rule in data.get("rules", ())),
            harm_evidence=float(data.get("harm_evidence", 1.0)),
            certificate_evidence=None if certificate is None else float(certificate),
            seconds_to_certificate=None if seconds is None else float(seconds),
            driven_by=tuple(data.get("driven_by", ())),
        )


NO_VERDICT = Verdict(VerdictKind.NONE, "nothing has been sampled yet")
"""The verdict of a release whose canary has not begun."""


def finite(value: float) -> float:
    """`value` as JSON can hold it. NaN is a defect of the judge and raises."""
    if math.isnan(value):
        raise ValueError("evidence is not a number")
    return min(max(value, 0.0), LARGEST_EVIDENCE)


def _interval(data: Any) -> Interval | None:
    return (float(data[0]), float(data[1])) if data else None
