"""The rollout plan and the traffic split: values that are valid from their construction on.

A plan is frozen into a release at its start. Pure; knows neither clock nor database.
"""

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from releases.domain.errors import Invalid

MAXIMUM_STEPS = 20
LONGEST_SECONDS = 30 * 86_400
PERCENT, SECONDS, MILLISECONDS = " %", " s", " ms"
BOUNDS: Mapping[str, tuple[float, float, str]] = {
    "weight": (1, 100, PERCENT),
    "hold_seconds": (0, LONGEST_SECONDS, SECONDS),
    "shadow_seconds": (0, LONGEST_SECONDS, SECONDS),
    "max_canary_seconds": (0, LONGEST_SECONDS, SECONDS),
    "grace_seconds": (0, LONGEST_SECONDS, SECONDS),
    "validating": (1, LONGEST_SECONDS, SECONDS),
    "deploying": (1, LONGEST_SECONDS, SECONDS),
    "smoke_testing": (1, LONGEST_SECONDS, SECONDS),
    "unknown": (1, LONGEST_SECONDS, SECONDS),
    "alpha": (1e-6, 0.2, ""),
    "beta": (1e-6, 0.5, ""),
    "error_rate_max": (1e-5, 0.5, ""),
    "latency_p95_max_ms": (0.1, 600_000, MILLISECONDS),
    "margin_errors": (1, 10, ""),
    "margin_latency": (1, 10, ""),
    "warm_up_seconds": (0, 86_400, SECONDS),
}
"""The least and the largest value of each number of a plan, and its unit."""


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """Shares of a route's traffic in percent. `shadow`: the candidate gets a copy of every request and
    its answers are discarded. Weights are whole numbers; they add up to 100."""

    candidate: int = 0
    shadow: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.candidate <= 100:
            raise Invalid(f"a split gives the candidate 0 to 100 %, not {self.candidate}")
        if self.shadow and self.candidate:
            raise Invalid("a shadow answers no requests, so its weight is 0")

    @property
    def stable(self) -> int:
        """What is left for stable."""
        return 100 - self.candidate

    def __str__(self) -> str:
        return "mirrored" if self.shadow else f"{self.stable} / {self.candidate}"


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the canary: its weight in percent, how long to stay, and whether an approver has to
    agree before the release leaves it."""

    weight: int
    hold_seconds: int = 300
    approval: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the judge compares and limits; rates are shares of 1, margins are odds ratios.

    The default margin of latency is that of about 7 % more time: a process with a tenth of the traffic has
    colder caches, and the same version was measured to be slower there by odds of up to 1.2.
    """

    error_rate_max: float | None = 0.01
    latency_p95_max_ms: float | None = None
    compare_errors: bool = True
    compare_latency: bool = True
    compare_predictions: bool = True
    margin_errors: float = 1.0
    margin_latency: float = 1.25
    warm_up_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a phase may last, in seconds, before the release gives up or calls a person."""

    validating: int = 1_800
    deploying: int = 600
    smoke_testing: int = 120
    unknown: int = 900


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """The whole plan of one release. `from_json` reads any subset of it over given defaults."""

    steps: tuple[Step, ...] = (Step(10, 300),)
    shadow_seconds: int = 0
    rules: Rules = field(default_factory=Rules)
    alpha: float = 0.01
    beta: float = 0.05
    promotion: str = "certified"
    early_promotion: bool = False
    on_inconclusive: str = "wait"
    max_canary_seconds: int = 3_600
    grace_seconds: int = 60
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        problems = dict(_problems(self))
        if problems:
            path, message = next(iter(problems.items()))
            raise Invalid(
                f"{path}: {message}",
                code="bad_plan",
                fields={name: [text] for name, text in problems.items()},
            )

    @classmethod
    def from_json(cls, data: object, defaults: Self | None = None) -> Self:
        """Read a plan; keys that are absent come from `defaults`. Raises `Invalid` naming the field."""
        base = (defaults or cls()).to_json()
        reader = _Reader()
        merged = reader.merge("plan", base, {} if data is None else data)
        if reader.problems:
            path, message = next(iter(reader.problems.items()))
            raise Invalid(
                f"{path}: {message}",
                code="bad_plan",
                fields={name: [text] for name, text in reader.problems.items()},
            )
        steps = tuple(Step(**step) for step in merged.pop("steps"))
        rules = Rules(**merged.pop("rules"))
        deadlines = Deadlines(**merged.pop("deadlines"))
        return cls(steps=steps, rules=rules, deadlines=deadlines, **merged)

    def to_json(self) -> dict[str, Any]:
        """The plan as the API shows it; `from_json(to_json())` is the same plan."""
        data = asdict(self)
        data["steps"] = list(data["steps"])
        return data

    @property
    def digest(self) -> str:
        """A short fingerprint; an approval is bound to it."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def stages(self) -> tuple["Stage", ...]:
        """The shadow (if any) and the steps, in order: what `ReleaseState.step` counts, from 1."""
        shadow = (Stage(TrafficSplit(0, shadow=True), self.shadow_seconds, False),)
        steps = tuple(Stage(TrafficSplit(s.weight), s.hold_seconds, s.approval) for s in self.steps)
        return (shadow if self.shadow_seconds else ()) + steps

    def describe(self) -> str:
        """The plan in words: "10 % for 300 s, then 100 %"."""
        parts = [f"mirrored for {self.shadow_seconds} s"] if self.shadow_seconds else []
        parts += [
            f"{s.weight} % for {s.hold_seconds} s" + (" and an approval" if s.approval else "")
            for s in self.steps
        ]
        return ", then ".join([*parts, "100 %"]) if parts else "100 % after the smoke test"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a canary as the state machine walks it."""

    split: TrafficSplit
    hold_seconds: int
    approval: bool


def _problems(plan: RolloutPlan) -> Mapping[str, str]:
    """Field path -> what is wrong with its value."""
    found: dict[str, str] = {}

    def check(path: str, value: float | None) -> None:
        if value is None:
            return
        low, high, unit = BOUNDS[path.rpartition(".")[2]]
        if not (math.isfinite(value) and low <= value <= high):
            found[path] = f"has to be from {low:g} to {high:g}{unit}, not {value:g}"

    if len(plan.steps) > MAXIMUM_STEPS:
        found["plan.steps"] = f"at most {MAXIMUM_STEPS} steps, not {len(plan.steps)}"
    before = 0
    for index, step in enumerate(plan.steps):
        path = f"plan.steps.{index}"
        check(f"{path}.weight", step.weight)
        check(f"{path}.hold_seconds", step.hold_seconds)
        if step.weight <= before and f"{path}.weight" not in found:
            found[f"{path}.weight"] = f"weights have to rise: {step.weight} comes after {before}"
        before = step.weight
    for name in ("shadow_seconds", "max_canary_seconds", "grace_seconds"):
        check(f"plan.{name}", getattr(plan, name))
    for name, value in asdict(plan.deadlines).items():
        check(f"plan.deadlines.{name}", value)
    check("plan.alpha", plan.alpha)
    check("plan.beta", plan.beta)
    rules = plan.rules
    for name in (
        "error_rate_max",
        "latency_p95_max_ms",
        "margin_errors",
        "margin_latency",
        "warm_up_seconds",
    ):
        check(f"plan.rules.{name}", getattr(rules, name))
    if plan.promotion not in ("certified", "no_harm"):
        found["plan.promotion"] = "has to be certified or no_harm"
    if plan.on_inconclusive not in ("wait", "rollback"):
        found["plan.on_inconclusive"] = "has to be wait or rollback"
    has_canary = bool(plan.steps or plan.shadow_seconds)
    has_limit = rules.error_rate_max is not None or rules.latency_p95_max_ms is not None
    if plan.promotion == "certified" and has_canary and not has_limit:
        found["plan.promotion"] = (
            "certified needs a limit to be certified below: rules.error_rate_max or rules.latency_p95_max_ms"
        )
    return found


class _Reader:
    """Lays JSON over defaults of the same shape and collects what does not fit."""

    optional = ("error_rate_max", "latency_p95_max_ms")

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def merge(self, path: str, base: Mapping[str, Any], data: object) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.problems[path] = "has to be an object"
            return dict(base)
        merged = dict(base)
        for key, value in data.items():
            if key not in base:
                known = ", ".join(base)
                self.problems[f"{path}.{str(key)[:60]}"] = f"unknown key; known are {known}"
            else:
                merged[key] = self.value(f"{path}.{key}", key, base[key], value)
        return merged

    def value(self, path: str, key: str, base: object, value: object) -> object:
        if key == "steps":
            return self.steps(path, value)
        if isinstance(base, Mapping):
            return self.merge(path, base, value)
        if isinstance(base, bool):
            return value if isinstance(value, bool) else self.wrong(path, "has to be true or false", base)
        if isinstance(base, str):
            return value if isinstance(value, str) else self.wrong(path, "has to be a word", base)
        if value is None and key in self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.wrong(path, "has to be a number", base)
        if not abs(value) <= sys.float_info.max:  # NaN, infinite, or a whole number beyond all floats
            return self.wrong(path, "has to be a number", base)
        if isinstance(base, int):
            return (
                int(value)
                if float(value).is_integer()
                else self.wrong(path, "has to be a whole number", base)
            )
        return float(value)

    def steps(self, path: str, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            self.problems[path] = "has to be a list"
            return []
        steps = []
        for index, item in enumerate(value[: MAXIMUM_STEPS + 1]):
            here = f"{path}.{index}"
            if isinstance(item, Mapping) and "weight" not in item:
                self.problems[f"{here}.weight"] = "is missing"
            steps.append(self.merge(here, asdict(Step(weight=1)), item))
        return steps

    def wrong(self, path: str, message: str, base: object) -> object:
        self.problems[path] = message
        return base
