"""The verdicts of many releases: conclusions put into words, release by release.

Everything that takes time is done in batch before; here only values are picked and joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from releases.domain.judge import explanation as say
from releases.domain.judge import state as slots
from releases.domain.judge.conclusion import SUSPICION, Conclusions, conclude
from releases.domain.judge.rules import ERROR_RATE_MAX, ERRORS_VS_STABLE, JudgeRules, RuleBatch
from releases.domain.judge.samples import Floats, Freshness
from releases.domain.verdict import (
    LARGEST_EVIDENCE,
    ArmCounts,
    Interval,
    RuleState,
    RuleVerdict,
    Verdict,
    VerdictKind,
)


def judge(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> list[Verdict]:
    """One verdict per release; `state` is (R, STATE_SIZE) after `fold`."""
    concluded = conclude(rules, state, freshness)
    table = _table(state, concluded)
    return [
        _Case.of(rule, fresh, kind, row).verdict()
        for rule, fresh, kind, row in zip(rules.rules, freshness, concluded.kinds, table, strict=True)
    ]


def _table(state: Floats, concluded: Conclusions) -> list[list[float]]:
    """Columns in the order of `_Case`'s figures, as plain Python numbers."""
    evidence, decisions = concluded.evidence, concluded.decisions
    columns = [
        *(state[:, slots.STABLE_REQUESTS : slots.CANDIDATE_ERRORS + 1].T),
        state[:, slots.ELAPSED],
        *concluded.stable_interval,
        *concluded.candidate_interval,
        decisions.log_harm,
        evidence.parts[:, 0],
        evidence.limit,
        evidence.certificate,
        decisions.harm,
        decisions.limit_broken,
        decisions.lost,
        decisions.certified,
        concluded.seconds,
        concluded.hopeless,
    ]
    rows: list[list[float]] = np.stack(columns, axis=1).tolist()
    return rows


@dataclass(frozen=True, slots=True)
class _Case:
    """One release with its figures; logs of evidence are natural."""

    rules: JudgeRules
    freshness: Freshness
    kind: VerdictKind
    stable: ArmCounts
    candidate: ArmCounts
    elapsed: float
    stable_interval: Interval | None
    interval: Interval | None
    log_harm: float
    log_relative: float
    log_limit: float
    log_certificate: float
    harm: bool
    limit_broken: bool
    lost: bool
    certified: bool
    seconds: float | None
    hopeless: bool

    @classmethod
    def of(cls, rules: JudgeRules, freshness: Freshness, kind: VerdictKind, row: list[float]) -> _Case:
        stable = ArmCounts(int(row[0]), int(row[1]))
        candidate = ArmCounts(int(row[2]), int(row[3]))
        return cls(
            rules=rules,
            freshness=freshness,
            kind=kind,
            stable=stable,
            candidate=candidate,
            elapsed=row[4],
            stable_interval=(row[5], row[6]) if stable.requests else None,
            interval=(row[7], row[8]) if candidate.requests else None,
            log_harm=row[9],
            log_relative=row[10],
            log_limit=row[11],
            log_certificate=row[12],
            harm=row[13] > 0,
            limit_broken=row[14] > 0,
            lost=row[15] > 0,
            certified=row[16] > 0,
            seconds=None if math.isnan(row[17]) else row[17],
            hopeless=row[18] > 0,
        )

    def verdict(self) -> Verdict:
        limited = self.rules.error_rate_max is not None
        return Verdict(
            kind=self.kind,
            summary=self._summary(),
            rules=(self._errors_vs_stable(), self._error_rate_max()),
            harm_evidence=_evidence(self.log_harm),
            certificate_evidence=_evidence(self.log_certificate) if limited else None,
            seconds_to_certificate=None if self.certified else self.seconds,
        )

    @property
    def _suspicious(self) -> float:
        return -SUSPICION * math.log(self.rules.alpha)

    def _errors_vs_stable(self) -> RuleVerdict:
        state, why = self._comparison()
        off = state is RuleState.OFF
        return RuleVerdict(
            rule=ERRORS_VS_STABLE,
            state=state,
            evidence=_evidence(self.log_relative),
            limit=1 / self.rules.alpha,
            stable=None if off else self.stable,
            candidate=None if off else self.candidate,
            interval=None if off else self.interval,
            explanation=why,
            stable_interval=None if off else self.stable_interval,
        )

    def _comparison(self) -> tuple[RuleState, str]:
        rules = self.rules
        if not rules.has_stable:
            return RuleState.OFF, "there is no stable version to compare with"
        if not rules.compare_errors:
            return RuleState.OFF, "the plan does not compare errors with stable's"
        arms = (
            say.arm("candidate", self.candidate, self.interval),
            say.arm("stable", self.stable, self.stable_interval),
        )
        if not self.candidate.requests or not self.stable.requests:
            return RuleState.NO_DATA, say.sentence(*arms)
        on_trial = self.lost or self.log_relative >= self._suspicious
        meaning = say.comparison(self.log_relative, rules.margin_errors, on_trial)
        state = RuleState.HARM if self.lost else RuleState.FLAG if on_trial else RuleState.OK
        return state, say.sentence(*arms, meaning)

    def _error_rate_max(self) -> RuleVerdict:
        """Shows the certificate on its way; the evidence of a broken limit once that speaks."""
        rules = self.rules
        state, why = self._limit()
        broken = self.limit_broken or self.log_limit >= self._suspicious
        return RuleVerdict(
            rule=ERROR_RATE_MAX,
            state=state,
            evidence=_evidence(self.log_limit if broken else self.log_certificate),
            limit=1 / rules.alpha if broken else 1 / rules.beta,
            stable=None,
            candidate=None if state is RuleState.OFF else self.candidate,
            interval=None if state is RuleState.OFF else self.interval,
            explanation=why,
        )

    def _limit(self) -> tuple[RuleState, str]:
        limit = self.rules.error_rate_max
        if limit is None:
            return RuleState.OFF, "the plan sets no limit on the error rate"
        arm = say.arm("candidate", self.candidate, self.interval)
        if not self.candidate.requests:
            return RuleState.NO_DATA, arm
        if self.limit_broken or self.log_limit >= self._suspicious:
            meaning = say.limit_broken(self.log_limit, limit)
            state = RuleState.HARM if self.limit_broken and self.harm else RuleState.FLAG
            return state, say.sentence(arm, meaning, self._blame())
        if self.log_certificate >= -math.log(self.rules.beta):
            return RuleState.CERTIFIED, say.sentence(arm, say.certificate(self.log_certificate, limit))
        waiting = f"not proven below {say.percent_limit(limit)} yet"
        return RuleState.INCONCLUSIVE, say.sentence(
            arm, waiting, say.forecast(self.seconds, limit, self.hopeless)
        )

    def _blame(self) -> str:
        """Whose fault a broken limit is."""
        if not self.limit_broken or not self.rules.has_stable:
            return ""
        if self.kind is VerdictKind.SHARED_INCIDENT:
            return f"stable breaks it as well ({say.counts(self.stable)}): a shared incident"
        if self.harm and self.lost:
            return "the candidate also fails more often than stable, so it is to blame"
        if self.harm:
            return "stable does not break it, so the candidate is to blame"
        return "not shown to fail more often than stable, so it is not blamed yet"

    def _summary(self) -> str:
        limit = self.rules.error_rate_max
        seen = say.counts(self.candidate) if self.candidate.requests else "no request judged yet"
        stable = (
            f"stable has {say.counts(self.stable)}" if self.rules.has_stable and self.stable.requests else ""
        )
        match self.kind:
            case VerdictKind.HARM:
                over = f"the limit is {say.percent_limit(limit)}" if limit and not self.lost else ""
                return say.sentence(f"harm: {seen}", stable, over)
            case VerdictKind.SHARED_INCIDENT:
                return say.sentence(f"both versions fail: candidate {seen}", stable, "holding")
            case VerdictKind.UNREACHABLE:
                return say.unreachable(self.freshness)
            case VerdictKind.CERTIFIED:
                return f"certified below {say.percent_limit(limit or 0)}: {seen}"
            case VerdictKind.NO_DATA:
                return say.silence(self.freshness.candidate.seconds, self.candidate)
            case VerdictKind.NONE:
                return "nothing has been sampled yet"
            case VerdictKind.INCONCLUSIVE:
                return self._inconclusive(seen, limit)

    def _inconclusive(self, seen: str, limit: float | None) -> str:
        if self.elapsed < self.rules.warm_up_seconds or (
            self.rules.warm_up_seconds and not self.candidate.requests
        ):
            return f"warming up: the first {self.rules.warm_up_seconds:g} s are not judged"
        if self.limit_broken:
            return say.sentence(
                f"above the limit of {say.percent_limit(limit or 0)}: {seen}",
                "not shown to fail more often than stable, so not blamed on the candidate yet",
            )
        doubt = max(self.log_relative, self.log_limit) >= self._suspicious
        start = "something speaks of harm, not enough to be sure" if doubt else "no harm seen"
        proven = "" if limit is None else say.forecast(self.seconds, limit, self.hopeless)
        return say.sentence(start, seen, "" if doubt else proven)


def _evidence(log: float) -> float:
    return math.exp(log) if log < math.log(LARGEST_EVIDENCE) else LARGEST_EVIDENCE
