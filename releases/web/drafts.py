"""The form of a new release as a value: read from a request, turned into a plan, filled from one.

Understands text fields only; whether a plan is right is for `RolloutPlan` to say, whose field paths are
mapped back to the inputs here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from releases.domain.errors import DomainError, Invalid
from releases.domain.plan import MAXIMUM_STEPS, RolloutPlan, Step
from releases.web.rule_drafts import PLACES, RulesDraft, number_of

PRESETS = ("default", "careful", "shadow", "own")
FINE = ("margin_errors", "margin_latency", "warm_up", "alpha", "beta")


@dataclass(frozen=True, slots=True)
class StepDraft:
    """One row of the steps, as typed."""

    weight: str = ""
    hold: str = ""
    approval: bool = False
    weight_error: str = ""
    hold_error: str = ""

    @property
    def bar(self) -> float:
        """The weight as far as it can be drawn."""
        return min(100.0, max(0.0, float(self.weight))) if self.weight.isdecimal() else 0.0


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything in the form. `errors`: input name -> message."""

    model: str = ""
    environment: str = ""
    version: str = ""
    preset: str = "default"
    steps: tuple[StepDraft, ...] = ()
    shadow: str = "0"
    rules: RulesDraft = field(default_factory=RulesDraft)
    promotion: str = "certified"
    on_inconclusive: str = "wait"
    max_canary: str = ""
    note: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: QueryDict) -> "Draft":
        """What was typed."""
        data = _without_nul(data)
        rows = data.get("steps", "")
        count = min(MAXIMUM_STEPS + 1, int(rows) if rows.isdecimal() else 0)
        steps = tuple(
            StepDraft(
                data.get(f"weight-{n}", "").strip(),
                data.get(f"hold-{n}", "").strip(),
                f"approval-{n}" in data,
            )
            for n in range(count)
        )
        preset = data.get("preset", "default")
        return cls(
            model=data.get("model", ""),
            environment=data.get("environment", ""),
            version=data.get("version", ""),
            preset=preset if preset in PRESETS else "default",
            steps=steps,
            shadow=data.get("shadow", "").strip(),
            rules=RulesDraft.read(data),
            promotion=data.get("promotion", ""),
            on_inconclusive=data.get("on_inconclusive", ""),
            max_canary=data.get("max_canary", "").strip(),
            note=data.get("note", ""),
        )

    def filled(self, plan: RolloutPlan, preset: str) -> "Draft":
        """The draft with the fields of a plan."""
        return replace(
            self,
            preset=preset,
            steps=tuple(StepDraft(str(s.weight), str(s.hold_seconds), s.approval) for s in plan.steps),
            shadow=str(plan.shadow_seconds),
            rules=RulesDraft.of(plan),
            promotion=plan.promotion,
            on_inconclusive=plan.on_inconclusive,
            max_canary=str(plan.max_canary_seconds),
        )

    def with_step(self) -> "Draft":
        """One row more, between the last weight and all traffic."""
        last = self.steps[-1].weight if self.steps else "0"
        weight = min(100, int(last) * 2 or 10) if last.isdecimal() else 50
        return replace(self, preset="own", steps=(*self.steps, StepDraft(str(weight), "300")))

    def without_step(self, number: int) -> "Draft":
        """One row less."""
        kept = tuple(step for n, step in enumerate(self.steps) if n != number)
        return replace(self, preset="own", steps=kept)

    def with_proposal(self, change: str, value: str) -> "Draft":
        """What a forecast proposes: another weight of the last step, or more time."""
        if change == "wait":
            return replace(self, max_canary=value)
        if not self.steps:
            return self
        return replace(self, preset="own", steps=(*self.steps[:-1], replace(self.steps[-1], weight=value)))

    def plan(self) -> dict[str, Any]:
        """The plan as the API would get it. What is no number is passed on as it is: to be refused."""
        return {
            "steps": [
                {"weight": number_of(s.weight), "hold_seconds": number_of(s.hold), "approval": s.approval}
                for s in self.steps
            ],
            "shadow_seconds": number_of(self.shadow or "0"),
            **self.rules.plan(),
            "promotion": self.promotion,
            "on_inconclusive": self.on_inconclusive,
            **({"max_canary_seconds": number_of(self.max_canary)} if self.max_canary else {}),
        }

    def refused(self, error: DomainError) -> "Draft":
        """The draft with messages at its inputs; `form` holds what belongs to none of them."""
        places = {
            "plan.shadow_seconds": "shadow",
            **PLACES,
            "plan.promotion": "promotion",
            "plan.on_inconclusive": "on_inconclusive",
            "plan.max_canary_seconds": "max_canary",
            "plan.steps": "steps",
        }
        errors: dict[str, str] = {}
        steps = list(self.steps)
        for path, messages in (error.fields or {"form": [str(error)]}).items():
            parts = path.split(".")
            if parts[:2] == ["plan", "steps"] and len(parts) == 4 and int(parts[2]) < len(steps):
                row = steps[int(parts[2])]
                if parts[3] == "weight":
                    steps[int(parts[2])] = replace(row, weight_error=messages[0])
                else:
                    steps[int(parts[2])] = replace(row, hold_error=messages[0])
            elif path in places or path in ("note", "version", "model", "environment"):
                errors[places.get(path, path)] = messages[0]
            else:
                errors["form"] = messages[0]
        return replace(self, steps=tuple(steps), errors=errors)

    @property
    def has_fine_errors(self) -> bool:
        """Whether something is wrong among the fields that are folded away."""
        return any(name in self.errors for name in FINE)

    @property
    def widest(self) -> float:
        """The first step's weight, for the picture of the split."""
        return self.steps[0].bar if self.steps else 100.0


def preset_plan(name: str, default: RolloutPlan) -> RolloutPlan:
    """The plan of a preset, over the environment's defaults."""
    if name == "careful":
        steps = (Step(1, 300), Step(5, 300), Step(25, 300, approval=True), Step(50, 300))
        return replace(default, steps=steps, shadow_seconds=0)
    if name == "shadow":
        return replace(default, steps=(Step(10, 300),), shadow_seconds=600)
    if name in ("default", "own"):
        return default
    raise Invalid(f"no such preset: {name}")


def _without_nul(data: QueryDict) -> QueryDict:
    """PostgreSQL holds no NUL characters; nobody types one on purpose."""
    clean = QueryDict(mutable=True)
    for key, value in data.items():
        clean[key] = str(value).replace("\x00", "")
    return clean
