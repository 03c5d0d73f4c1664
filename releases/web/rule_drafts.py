"""The rules of a plan as they are typed: text in, text out; whether they are right a plan says.

Which input stands for which key of a plan, and in which unit, is one table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from releases.domain.plan import RolloutPlan

# input -> (key of the plan, below "rules" or not, how many of its unit make one of the plan's)
NUMBERS: Mapping[str, tuple[str, bool, float]] = {
    "error_rate_max": ("error_rate_max", True, 100),
    "latency_p95_max": ("latency_p95_max_ms", True, 1),
    "margin_errors": ("margin_errors", True, 1),
    "margin_latency": ("margin_latency", True, 1),
    "warm_up": ("warm_up_seconds", True, 1),
    "alpha": ("alpha", False, 100),
    "beta": ("beta", False, 100),
}
LIMITS = frozenset({"error_rate_max", "latency_p95_max"})  # empty: no limit; elsewhere: the default
COMPARISONS = ("compare_errors", "compare_latency", "compare_predictions")
PLACES = {
    f"plan.rules.{key}" if is_rule else f"plan.{key}": name for name, (key, is_rule, _) in NUMBERS.items()
}


@dataclass(frozen=True, slots=True)
class RulesDraft:
    """`numbers`: input -> text. `compared`: the comparisons that are ticked."""

    numbers: Mapping[str, str] = field(default_factory=dict)
    compared: frozenset[str] = frozenset(COMPARISONS)

    @classmethod
    def read(cls, data: QueryDict) -> "RulesDraft":
        """What was typed."""
        return cls(
            {name: data.get(name, "").strip() for name in NUMBERS},
            frozenset(name for name in COMPARISONS if name in data),
        )

    @classmethod
    def of(cls, plan: RolloutPlan) -> "RulesDraft":
        """The fields of a plan."""
        numbers = {}
        for name, (key, is_rule, units) in NUMBERS.items():
            value = getattr(plan.rules if is_rule else plan, key)
            numbers[name] = "" if value is None else f"{units * value:.6g}"
        compared = frozenset(name for name in COMPARISONS if getattr(plan.rules, name))
        return cls(numbers, compared)

    def plan(self) -> dict[str, Any]:
        """These parts of a plan, as the API would get them."""
        rules: dict[str, Any] = {name: name in self.compared for name in COMPARISONS}
        found: dict[str, Any] = {"rules": rules}
        for name, (key, is_rule, units) in NUMBERS.items():
            value = number_of(self.numbers.get(name, ""))
            if value is None and name not in LIMITS:
                continue
            in_units = value / units if units != 1 and isinstance(value, int | float) else value
            (rules if is_rule else found)[key] = in_units
        return found


def number_of(text: str) -> int | float | str | None:
    """A number if it reads as one; empty is none; anything else stays text, which a plan refuses."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return text
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
