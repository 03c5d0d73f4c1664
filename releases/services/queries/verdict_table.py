"""The verdict's table: every rule with its human name and with what its drawing needs.

A pure arrangement of a verdict that was reached before; takes no decision and asks no database.
"""

from dataclasses import dataclass

from releases.domain.judge import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
)
from releases.domain.judge.evidence import HARM_TESTS
from releases.domain.judge.explanation import milliseconds, percent_limit
from releases.domain.judge.latency import SLOW_SHARE
from releases.domain.plan import RolloutPlan, Rules
from releases.domain.verdict import RuleState, RuleVerdict, Verdict

_WORDS = {
    ERRORS_VS_STABLE: "errors",
    LATENCY_VS_STABLE: "latency",
    PREDICTIONS_VS_STABLE: "predictions",
}


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule. `mark`: the limit drawn into its interval. `drives`: a verdict of harm rests on it."""

    name: str
    verdict: RuleVerdict
    mark: float | None
    tone: str
    drives: bool


@dataclass(frozen=True, slots=True)
class VerdictTable:
    """`lines`: rules that were judged; `off`: those that were not, each with why. `merged`: how the
    comparisons share the evidence of harm, in words."""

    lines: tuple[RuleLine, ...] = ()
    off: tuple[RuleLine, ...] = ()
    merged: str = ""


def table_of(verdict: Verdict | None, plan: RolloutPlan, *, has_stable: bool) -> VerdictTable:
    """The table of the newest verdict; empty before the first."""
    if verdict is None or not verdict.rules:
        return VerdictTable()
    lines = [_line(rule, verdict, plan) for rule in verdict.rules]
    return VerdictTable(
        lines=tuple(line for line in lines if line.verdict.state is not RuleState.OFF),
        off=tuple(line for line in lines if line.verdict.state is RuleState.OFF),
        merged=_merged(plan.rules) if has_stable else "",
    )


def _line(rule: RuleVerdict, verdict: Verdict, plan: RolloutPlan) -> RuleLine:
    certifies = rule.rule in (ERROR_RATE_MAX, LATENCY_P95_MAX) and rule.state in (
        RuleState.INCONCLUSIVE,
        RuleState.CERTIFIED,
    )
    return RuleLine(
        name=_name(rule.rule, plan.rules),
        verdict=rule,
        mark=_mark(rule.rule, plan.rules),
        tone="success" if certifies else "danger",
        drives=rule.rule in verdict.driven_by,
    )


def _name(rule: str, rules: Rules) -> str:
    if rule in _WORDS:
        return f"{_WORDS[rule].capitalize()} against stable"
    if rule == ERROR_RATE_MAX:
        limit = rules.error_rate_max
        return "Error limit" if limit is None else f"Errors below {percent_limit(limit)}"
    if rule == LATENCY_P95_MAX:
        slow = rules.latency_p95_max_ms
        return "Latency limit" if slow is None else f"p95 below {milliseconds(slow)}"
    return rule.replace("_", " ").capitalize()


def _mark(rule: str, rules: Rules) -> float | None:
    """Where the share that the rule counts has its limit."""
    if rule in (ERRORS_VS_STABLE, ERROR_RATE_MAX):
        return rules.error_rate_max
    return SLOW_SHARE if rule == LATENCY_P95_MAX else None


def _merged(rules: Rules) -> str:
    """ "errors 50 %, latency 37.5 %, predictions 12.5 %"; what is off gives its share to the others."""
    on = {
        ERRORS_VS_STABLE: rules.compare_errors,
        LATENCY_VS_STABLE: rules.compare_latency,
        PREDICTIONS_VS_STABLE: rules.compare_predictions,
    }
    shares = {rule: sum(share for of, share in HARM_TESTS if of == rule) for rule in on if on[rule]}
    total = sum(shares.values())
    return ", ".join(f"{_WORDS[rule]} {100 * share / total:.3g} %" for rule, share in shares.items())
