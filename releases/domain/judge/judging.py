"""The verdicts of many releases: conclusions put into words, release by release.

Everything that takes time is done in batch before; here only values are picked and joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from releases.domain.judge import explanation as say
from releases.domain.judge.conclusion import conclude
from releases.domain.judge.figures import Figures, figures_of
from releases.domain.judge.rule_verdicts import Case, evidence_of
from releases.domain.judge.rules import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
    JudgeRules,
    RuleBatch,
)
from releases.domain.judge.samples import Floats, Freshness
from releases.domain.verdict import Verdict, VerdictKind


def judge(rules: RuleBatch, state: Floats, freshness: Sequence[Freshness]) -> list[Verdict]:
    """One verdict per release; `state` is (R, STATE_SIZE) after `fold`."""
    concluded = conclude(rules, state, freshness)
    rows = figures_of(rules, state, concluded)
    return [
        _Summary(Case(rule, kind, figures, counts), fresh).verdict()
        for rule, fresh, kind, (figures, counts) in zip(
            rules.rules, freshness, concluded.kinds, rows, strict=True
        )
    ]


@dataclass(frozen=True, slots=True)
class _Summary:
    """One release's verdict as a whole."""

    case: Case
    freshness: Freshness

    def verdict(self) -> Verdict:
        rules, figures = self.case.rules, self.case.figures
        certificates = _of_limits(rules, figures, figures.log_certificate, figures.log_slow_certificate)
        seconds = _of_limits(rules, figures, figures.seconds, figures.slow_seconds)
        known = bool(seconds) and not any(math.isnan(value) for value in seconds) and not figures.certified
        driven_by = self._driven_by() if self.case.kind is VerdictKind.HARM else ()
        return Verdict(
            kind=self.case.kind,
            summary=self._summary(driven_by),
            rules=self.case.rule_verdicts(),
            harm_evidence=evidence_of(figures.log_harm),
            certificate_evidence=evidence_of(min(certificates)) if certificates else None,
            seconds_to_certificate=max(seconds) if known else None,
            driven_by=driven_by,
        )

    def _driven_by(self) -> tuple[str, ...]:
        """By e-BH over the harm tests; the test with most weighted evidence when none stands alone."""
        figures = self.case.figures
        parts = (
            (figures.log_relative, ERRORS_VS_STABLE, bool(figures.driven_errors)),
            (
                figures.log_latency,
                LATENCY_VS_STABLE,
                bool(figures.driven_thresholds or figures.driven_ranks),
            ),
            (figures.log_predictions, PREDICTIONS_VS_STABLE, bool(figures.driven_predictions)),
        )
        driven = [rule for _, rule, is_driven in sorted(parts, reverse=True) if is_driven]
        if driven:
            return tuple(driven)
        alone = [
            (log, rule)
            for log, rule, broken in (
                (figures.log_limit, ERROR_RATE_MAX, figures.limit_broken),
                (figures.log_slow_limit, LATENCY_P95_MAX, figures.slow_limit_broken),
            )
            if broken
        ]
        merged = max(parts)
        return (max([*alone, merged[:2]])[1],)

    def _summary(self, driven_by: Sequence[str]) -> str:
        case, rules = self.case, self.case.rules
        stable, candidate = (of.arm for of in case.pair("errors"))
        seen = say.counts(candidate) if candidate.requests else "no request judged yet"
        beside = f"stable has {say.counts(stable)}" if rules.has_stable and stable.requests else ""
        match case.kind:
            case VerdictKind.HARM:
                return self._harm(driven_by[0], seen, beside)
            case VerdictKind.SHARED_INCIDENT:
                return say.sentence(self._shared(seen), beside, "holding")
            case VerdictKind.UNREACHABLE:
                return say.unreachable(self.freshness)
            case VerdictKind.CERTIFIED:
                return f"certified {self._limits()}: {seen}"
            case VerdictKind.NO_DATA:
                return say.silence(self.freshness.candidate.seconds, candidate)
            case VerdictKind.NONE:
                return "nothing has been sampled yet"
            case VerdictKind.INCONCLUSIVE:
                return self._inconclusive(seen)

    def _harm(self, rule: str, seen: str, beside: str) -> str:
        """What is wrong, in the words of the rule that found it."""
        case, rules, figures = self.case, self.case.rules, self.case.figures
        if rule == LATENCY_VS_STABLE and figures.bound:
            slower = case.pair("slower")[1]
            candidate, bound = slower.arm, say.milliseconds(figures.bound)
            alike = slower.expected / max(slower.requests, 1.0)
            return say.sentence(
                f"harm: slower than stable: {say.percent(candidate.rate or 0.0)} of {candidate.requests:,} "
                f"answers took more than {bound}",
                f"as fast as stable in the same seconds it would be {say.percent(alike)}",
            )
        if rule == PREDICTIONS_VS_STABLE:
            stable, candidate = (of.arm for of in case.pair("predicted"))
            return say.sentence(
                f"harm: other answers than stable's: {say.percent(candidate.rate or 0.0)} of "
                f"{candidate.requests:,} {case.predicted}",
                f"of stable's {say.percent(stable.rate or 0.0)}",
            )
        if rule == LATENCY_P95_MAX:
            of = case.pair("too_slow")[1].arm
            return say.sentence(
                f"harm: {say.percent(of.rate or 0.0)} of {of.requests:,} answers are slower than the limit",
                f"the limit is {case.below_slow_limit()}",
            )
        limit = rules.error_rate_max
        over = f"the limit is {say.percent_limit(limit)}" if limit and rule == ERROR_RATE_MAX else ""
        return say.sentence(f"harm: {seen}", beside, over)

    def _shared(self, seen: str) -> str:
        if self.case.figures.limit_broken:
            return f"both versions fail: candidate {seen}"
        of = self.case.pair("too_slow")[1].arm
        return f"both versions are too slow: candidate {say.percent(of.rate or 0.0)} above the limit, {seen}"

    def _inconclusive(self, seen: str) -> str:
        rules, figures = self.case.rules, self.case.figures
        warm_up = rules.warm_up_seconds
        unseen = not self.case.counts["errors", "candidate"].requests
        if figures.elapsed < warm_up or (warm_up and unseen):
            return f"warming up: the first {warm_up:g} s are not judged"
        if figures.limit_broken or figures.slow_limit_broken:
            limit = (
                say.percent_limit(rules.error_rate_max or 0.0)
                if figures.limit_broken
                else self.case.below_slow_limit()
            )
            return say.sentence(
                f"above the limit of {limit}: {seen}",
                "not shown to be worse than stable, so not blamed on the candidate yet",
            )
        logs = (figures.log_harm, figures.log_relative, figures.log_limit, figures.log_slow_limit)
        doubt = max(logs) >= self.case.suspicious
        if not doubt and figures.proven:
            return say.sentence(f"proven {self._limits()}: {seen}", self._doubt())
        start = "something speaks of harm, not enough to be sure" if doubt else "no harm seen"
        return say.sentence(start, seen, "" if doubt else self._time_left())

    def _limits(self) -> str:
        """What a certificate is about."""
        rules = self.case.rules
        limits = [] if rules.error_rate_max is None else [f"below {say.percent_limit(rules.error_rate_max)}"]
        if rules.latency_p95_max_ms is not None and self.case.figures.slow_measurable:
            limits.append(f"below {self.case.below_slow_limit()}")
        return " and ".join(limits)

    def _doubt(self) -> str:
        """Which comparison withholds the certificate."""
        figures = self.case.figures
        log, what = max((figures.log_latency, "latency"), (figures.log_predictions, "predictions"))
        seen = f"evidence {math.exp(log):.2g} of {1 / self.case.rules.alpha:g}"
        return f"not certified while the comparison of {what} gives reason to doubt ({seen})"

    def _time_left(self) -> str:
        """Of the limit that takes longest."""
        rules, figures = self.case.rules, self.case.figures
        waits = []
        if rules.error_rate_max is not None:
            below = f"below {say.percent_limit(rules.error_rate_max)}"
            waits.append((figures.hopeless, figures.seconds, below))
        if rules.latency_p95_max_ms is not None and figures.slow_measurable:
            errors, slow = (self.case.counts[kind, "candidate"] for kind in ("errors", "too_slow"))
            if errors.requests and not slow.requests:
                return f"no latencies are told, so nothing proves {self.case.below_slow_limit()}"
            below = f"below {self.case.below_slow_limit()}"
            waits.append((figures.slow_hopeless, figures.slow_seconds, below))
        if not waits:
            return ""
        hopeless, seconds, below = max(waits, key=lambda wait: (wait[0], not math.isnan(wait[1]), wait[1]))
        return say.forecast(seconds, below, bool(hopeless))


def _of_limits(rules: JudgeRules, figures: Figures, errors: float, slow: float) -> list[float]:
    """The figure of each limit that can be certified."""
    both = (
        (rules.error_rate_max is not None, errors),
        (rules.latency_p95_max_ms is not None and bool(figures.slow_measurable), slow),
    )
    return [value for has, value in both if has]
