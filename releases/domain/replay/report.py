"""How a replay ends, for programs and for people at a terminal.

Must not decide anything, nor write anywhere.
"""

from __future__ import annotations

import textwrap
from typing import Any

from releases.domain.judge import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_P95_MAX,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
)
from releases.domain.judge.explanation import whole
from releases.domain.replay.lock_step import DECISIVE, Ending
from releases.domain.verdict import RuleState, RuleVerdict, VerdictKind, finite

WIDTH = 96
RULES = {
    ERRORS_VS_STABLE: "errors against stable",
    LATENCY_VS_STABLE: "latency against stable",
    PREDICTIONS_VS_STABLE: "predictions against stable",
    ERROR_RATE_MAX: "limit on the error rate",
    LATENCY_P95_MAX: "limit on the latency",
}


def to_json(ending: Ending) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "kind": ending.verdict.kind.value,
        "at": ending.at,
        "rules": [_rule(rule) for rule in ending.verdict.rules],
        "samples": ending.samples,
    }


def _rule(rule: RuleVerdict) -> dict[str, Any]:
    interval = {"interval": list(rule.interval)} if rule.interval else {}
    return {
        "rule": rule.rule,
        "state": rule.state.value,
        "evidence": finite(rule.evidence),
        "limit": finite(rule.limit),
        **interval,
        "explanation": rule.explanation,
    }


def page(ending: Ending) -> str:
    """The ending as text: the verdict first, then each rule, then what it rests on."""
    verdict = ending.verdict
    lines = [_headline(ending), *_wrapped(_sentence(verdict.summary)), ""]
    for rule in verdict.rules:
        shown = rule.state is not RuleState.OFF
        weight = f"evidence {_evidence(rule.evidence)}, limit {rule.limit:,.4g}" if shown else ""
        lines.append(f"  {RULES[rule.rule]:<27} {_words(rule.state):<13} {weight}".rstrip())
        lines += _wrapped(_sentence(rule.explanation), "      ")
    if verdict.driven_by:
        lines += ["", f"Driven by: {', '.join(RULES[rule] for rule in verdict.driven_by)}."]
    return "\n".join(lines)


def _headline(ending: Ending) -> str:
    kind = _words(ending.verdict.kind).upper()
    samples = f"{ending.samples:,} sample{'' if ending.samples == 1 else 's'}"
    if ending.verdict.kind in DECISIVE:
        return f"{kind} at {ending.at:.12g} s, after {samples}"
    return f"{kind} after {samples}: nothing was decided"


def _words(state: RuleState | VerdictKind) -> str:
    return state.value.replace("_", " ")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _evidence(value: float) -> str:
    """With as many digits as it deserves."""
    if value >= 100:
        return whole(value)
    return f"{value:.2g}" if value >= 0.01 else "below 0.01"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
