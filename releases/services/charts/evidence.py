"""Evidence on a log axis against its limits: merged as the strong line, each rule's beside it.

A rule's line is its own e-value; the merged one is their weighted mean, so that the rule that drives a
verdict of harm runs above it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from releases.domain.forecast import PathsAhead
from releases.domain.judge import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
)
from releases.domain.plan import RolloutPlan
from releases.domain.verdict import RuleState, Verdict, VerdictKind
from releases.services.charts.frame import Figure, line_of, numbers_of
from releases.services.queries.samples import ArmSeries, Floats

LOWEST_EVIDENCE, HIGHEST_EVIDENCE = 0.02, 1e6
RULE_LINES = {
    ERRORS_VS_STABLE: ("errors", "solid"),
    LATENCY_VS_STABLE: ("latency", "dash"),
    PREDICTIONS_VS_STABLE: ("predictions", "dot"),
}
"""Rule -> the name of its line, and its dash."""
_LIMITS = {ERROR_RATE_MAX: "the error limit decides", LATENCY_P95_MAX: "the latency limit decides"}


@dataclass(frozen=True, slots=True)
class RuleKey:
    """The present reading of one rule's line. `dash` as in the figure."""

    name: str
    dash: str
    evidence: float
    drives: bool


def keys_of(verdict: Verdict | None) -> tuple[RuleKey, ...]:
    """The present readings of all rules that have a line."""
    if verdict is None:
        return ()
    found, driving = verdict.evidence_by_rule, driving_rules(verdict)
    return tuple(
        RuleKey(name, dash, found[rule], rule in driving)
        for rule, (name, dash) in RULE_LINES.items()
        if rule in found
    )


def evidence_figure(
    candidate: ArmSeries, plan: RolloutPlan, verdict: Verdict | None, ahead: PathsAhead | None
) -> Figure:
    """`ahead`: the forecast of the certificate's evidence from the newest sample on."""
    roll_back, certify = 1 / plan.alpha, 1 / plan.beta
    top = 10 * max(roll_back, certify)
    limits = [{"y": roll_back, "role": "danger", "label": f"roll back at {roll_back:,.4g}"}]
    driving = driving_rules(verdict)
    harm = line_of("harm", "danger", candidate.at, _drawn(candidate.harm))
    if driving and driving[0] in _LIMITS:
        harm["label"] = _LIMITS[driving[0]]
    series = [harm]
    if np.isfinite(candidate.certificate).any():
        limits.append({"y": certify, "role": "success", "label": f"certify at {certify:,.4g}"})
        proof = _drawn(candidate.certificate)
        series.append(line_of("certificate", "success", candidate.at, proof, dash="dash"))
        if ahead is not None and ahead.at[-1] > 0:
            series.append(_future(float(candidate.at[-1]), ahead))
    series += _rules(candidate, driving)
    return {
        "kind": "line",
        "y": {"unit": "", "title": "evidence (log)", "log": True, "range": [0.05, top]},
        "limits": limits,
        "series": series,
    }


def driving_rules(verdict: Verdict | None) -> tuple[str, ...]:
    """The rules that a verdict of harm rests on; before there is one, the one that speaks loudest."""
    if verdict is None or verdict.kind is VerdictKind.HARM:
        return verdict.driven_by if verdict else ()
    speaking = [
        rule
        for rule in verdict.rules
        if rule.rule in RULE_LINES and rule.state in (RuleState.FLAG, RuleState.HARM)
    ]
    return tuple(rule.rule for rule in sorted(speaking, key=lambda rule: -rule.evidence)[:1])


def _rules(candidate: ArmSeries, driving: tuple[str, ...]) -> list[dict[str, Any]]:
    """A thin line for each rule that was on; one that drives is in the colour of harm and says so."""
    lines = []
    for rule, (name, dash) in RULE_LINES.items():
        values = candidate.by_rule.get(rule)
        if values is None or not np.isfinite(values).any():
            continue
        drives = rule in driving
        line = line_of(
            name, "danger" if drives else "neutral", candidate.at, _drawn(values), dash=dash, thin=True
        )
        if drives and rule == driving[0]:
            line["label"] = f"{name} {'drives' if name == 'latency' else 'drive'} it"
        lines.append(line)
    return lines


def _future(now: float, ahead: PathsAhead) -> dict[str, Any]:
    """The forecast of the certificate: a faint band of 8 of 10 paths around the middle one."""
    band = {"lo": numbers_of(_drawn(ahead.low)), "hi": numbers_of(_drawn(ahead.high))}
    name = "certificate, forecast"
    return line_of(name, "success", now + ahead.at, _drawn(ahead.median), dash="dot", faint=True, **band)


def _drawn(evidence: Floats) -> Floats:
    return np.clip(evidence, LOWEST_EVIDENCE, HIGHEST_EVIDENCE)
