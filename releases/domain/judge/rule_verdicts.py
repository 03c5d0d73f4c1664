"""One verdict per rule: its state, its numbers, and its sentence.

What is decided was decided before; here only values are picked and joined.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from releases.domain.judge import explanation as say
from releases.domain.judge.conclusion import SUSPICION
from releases.domain.judge.figures import Counted, Counts, Figures
from releases.domain.judge.rules import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
    JudgeRules,
)
from releases.domain.verdict import LARGEST_EVIDENCE, RuleState, RuleVerdict, VerdictKind

NO_STABLE = "there is no stable version to compare with"


@dataclass(frozen=True, slots=True)
class Case:
    """One release that is put into words."""

    rules: JudgeRules
    kind: VerdictKind
    figures: Figures
    counts: Counts

    def rule_verdicts(self) -> tuple[RuleVerdict, ...]:
        """All rules, those that are off as well."""
        return (
            self._errors_vs_stable(),
            self._latency_vs_stable(),
            self._predictions_vs_stable(),
            self._error_rate_max(),
            self._latency_p95_max(),
        )

    def pair(self, kind: str) -> tuple[Counted, Counted]:
        """What was counted in stable and in the candidate."""
        return self.counts[kind, "stable"], self.counts[kind, "candidate"]

    @property
    def predicted(self) -> str:
        """The bin of predictions in which the arms differ most, as words."""
        index, names = int(self.figures.bin), self.rules.prediction_names
        return f"predicted {names[index] if index < len(names) else f'bin {index + 1}'}"

    @property
    def suspicious(self) -> float:
        """Log evidence from which it speaks of harm."""
        return -SUSPICION * math.log(self.rules.alpha)

    def below_slow_limit(self) -> str:
        """The latency limit as words."""
        return f"a p95 of {say.milliseconds(self.rules.latency_p95_max_ms or 0.0)}"

    # ---- against stable --------------------------------------------------------------------------
    def _errors_vs_stable(self) -> RuleVerdict:
        rules, figures = self.rules, self.figures
        off = "" if rules.compare_errors else "the plan does not compare errors with stable's"
        return self._compared(
            ERRORS_VS_STABLE,
            off,
            self.pair("errors"),
            "errors",
            figures.log_relative,
            alike=say.alike_in_errors(rules.margin_errors),
            otherwise="nothing speaks for a higher rate than stable's in the same seconds",
            scatter=figures.scatter_errors,
        )

    def _latency_vs_stable(self) -> RuleVerdict:
        rules, figures = self.rules, self.figures
        off = "" if rules.compare_latency else "the plan does not compare latency with stable's"
        answered = self.counts["errors", "candidate"].requests
        if not off and not figures.top_bound and answered:
            off = "the metric source has told no latencies yet"
        if not off and answered and not figures.bound:
            off = "learning how fast stable answers, to know at which latencies to compare"
        return self._compared(
            LATENCY_VS_STABLE,
            off,
            self.pair("slower"),
            f"slower than {say.milliseconds(figures.bound)}",
            figures.log_latency,
            alike=say.alike_in_latency(rules.margin_latency),
            otherwise="nothing speaks for slower answers than stable's in the same seconds",
            scatter=figures.scatter_latency,
        )

    def _predictions_vs_stable(self) -> RuleVerdict:
        rules, figures = self.rules, self.figures
        off = "" if rules.compare_predictions else "the plan does not compare predictions with stable's"
        stable, candidate = self.pair("predicted")
        answered = self.counts["errors", "candidate"].requests
        if not off and answered and not (stable.requests and candidate.requests):
            off = "no predictions are counted"
        differs = figures.log_differs >= -math.log(rules.alpha)
        otherwise = (
            "the versions answer differently, not by more than a new model may"
            if differs
            else "nothing speaks for other answers than stable's"
        )
        return self._compared(
            PREDICTIONS_VS_STABLE,
            off,
            (stable, candidate),
            self.predicted,
            figures.log_predictions,
            alike="two versions whose answers differ no more than a new model's may",
            otherwise=otherwise,
            calm=RuleState.NOTICE if differs else RuleState.OK,
        )

    def _compared(
        self,
        rule: str,
        off: str,
        arms: tuple[Counted, Counted],
        counted: str,
        log_evidence: float,
        *,
        alike: str,
        otherwise: str,
        calm: RuleState = RuleState.OK,
        scatter: float = 1.0,
    ) -> RuleVerdict:
        """A comparison with stable; `off` says why it is none."""
        off = off or ("" if self.rules.has_stable else NO_STABLE)
        if off:
            return self._verdict(rule, RuleState.OFF, log_evidence, None, "errors", off)
        stable, candidate = arms
        said = (self._arm("candidate", candidate, counted), self._arm("stable", stable, counted))
        if not candidate.requests or not stable.requests:
            return self._verdict(rule, RuleState.NO_DATA, log_evidence, arms, counted, say.sentence(*said))
        state, meaning = calm, otherwise
        if log_evidence >= self.suspicious:
            lost = log_evidence >= -math.log(self.rules.alpha)
            state = RuleState.HARM if lost else RuleState.FLAG
            meaning = say.sentence(
                say.expected(candidate.expected), say.chance(alike, log_evidence, 1 / self.rules.alpha)
            )
        meaning = say.sentence(meaning, say.scatter(scatter))
        return self._verdict(rule, state, log_evidence, arms, counted, say.sentence(*said, meaning))

    # ---- limits ----------------------------------------------------------------------------------
    def _error_rate_max(self) -> RuleVerdict:
        limit, figures = self.rules.error_rate_max, self.figures
        if limit is None:
            return self._no_limit(ERROR_RATE_MAX, "the plan sets no limit on the error rate")
        below = f"below {say.percent_limit(limit)}"
        forecast = say.forecast(figures.seconds, below, bool(figures.hopeless))
        return self._limited(
            ERROR_RATE_MAX,
            self.pair("errors"),
            "errors",
            evidence=(figures.log_limit, figures.log_certificate),
            broken=bool(figures.limit_broken),
            lost=bool(figures.lost),
            below=below,
            forecast=forecast,
        )

    def _latency_p95_max(self) -> RuleVerdict:
        """Counted at the smallest bound of the histogram that is not below the limit."""
        limit, figures = self.rules.latency_p95_max_ms, self.figures
        if limit is None:
            return self._no_limit(LATENCY_P95_MAX, "the plan sets no limit on latency")
        if not figures.slow_measurable:
            top = say.milliseconds(figures.top_bound)
            why = (
                f"cannot be judged: latencies are counted up to {top}, the limit is {say.milliseconds(limit)}"
            )
            return self._no_limit(LATENCY_P95_MAX, why)
        below = f"below {self.below_slow_limit()}"
        forecast = say.forecast(figures.slow_seconds, below, bool(figures.slow_hopeless))
        return self._limited(
            LATENCY_P95_MAX,
            self.pair("too_slow"),
            f"slower than {say.milliseconds(limit)}",
            evidence=(figures.log_slow_limit, figures.log_slow_certificate),
            broken=bool(figures.slow_limit_broken),
            lost=bool(figures.lost_latency),
            below=below,
            forecast=forecast,
        )

    def _no_limit(self, rule: str, why: str) -> RuleVerdict:
        limit = 1 / self.rules.beta
        return RuleVerdict(rule, RuleState.OFF, 1.0, limit, None, None, None, why)

    def _limited(
        self,
        rule: str,
        arms: tuple[Counted, Counted],
        counted: str,
        *,
        evidence: tuple[float, float],
        broken: bool,
        lost: bool,
        below: str,
        forecast: str,
    ) -> RuleVerdict:
        """Shows the certificate on its way; the evidence of a broken limit once that speaks."""
        candidate = arms[1]
        log_broken, log_certificate = evidence
        said = self._arm("candidate", candidate, counted)
        speaks = broken or log_broken >= self.suspicious
        bar = self.bar_of_limits if speaks else 1 / self.rules.beta
        if not candidate.requests:
            state, why = RuleState.NO_DATA, said
        elif speaks:
            meaning = say.chance(f"a version that keeps {below}", log_broken, bar)
            state = RuleState.HARM if broken and self.figures.harm else RuleState.FLAG
            why = say.sentence(said, meaning, self._blame(arms, broken, lost, counted))
        elif log_certificate >= -math.log(self.rules.beta):
            state, why = RuleState.CERTIFIED, say.sentence(said, say.certificate(log_certificate, below))
        else:
            state = RuleState.INCONCLUSIVE
            why = say.sentence(said, f"not proven {below} yet", forecast)
        shown = log_broken if speaks else log_certificate
        return RuleVerdict(
            rule,
            state,
            evidence_of(shown),
            bar,
            None,
            candidate.arm,
            candidate.interval,
            why,
            counted=counted,
        )

    @property
    def bar_of_limits(self) -> float:
        """What evidence of a broken limit has to reach; two limits share alpha."""
        number = (self.rules.error_rate_max is not None) + (self.rules.latency_p95_max_ms is not None)
        return max(number, 1) / self.rules.alpha

    def _blame(self, arms: tuple[Counted, Counted], broken: bool, lost: bool, counted: str) -> str:
        """Whose fault a broken limit is."""
        if not broken or not self.rules.has_stable:
            return ""
        if self.kind is VerdictKind.SHARED_INCIDENT:
            stable = self._arm("stable", arms[0], counted)
            return f"stable breaks it as well ({stable}): a shared incident"
        if self.figures.harm and lost:
            return "the candidate is also worse than stable, so it is to blame"
        if self.figures.harm:
            return "stable does not break it, so the candidate is to blame"
        return "not shown to be worse than stable, so it is not blamed yet"

    # ---- both ------------------------------------------------------------------------------------
    def _arm(self, name: str, of: Counted, counted: str) -> str:
        if counted == "errors":
            return say.arm(name, of.arm, of.interval)
        return say.part(name, of.arm, of.interval, counted)

    def _verdict(
        self,
        rule: str,
        state: RuleState,
        log_evidence: float,
        arms: tuple[Counted, Counted] | None,
        counted: str,
        why: str,
    ) -> RuleVerdict:
        stable, candidate = arms or (None, None)
        return RuleVerdict(
            rule=rule,
            state=state,
            evidence=evidence_of(log_evidence),
            limit=1 / self.rules.alpha,
            stable=stable.arm if stable else None,
            candidate=candidate.arm if candidate else None,
            interval=candidate.interval if candidate else None,
            explanation=why,
            stable_interval=stable.interval if stable else None,
            counted=counted,
        )


def evidence_of(log: float) -> float:
    """An e-value of its logarithm, as large as can be told."""
    return math.exp(log) if log < math.log(LARGEST_EVIDENCE) else LARGEST_EVIDENCE
