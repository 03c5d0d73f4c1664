"""What a change of mappings means for the routes: their matches before and after, as lines of a diff.

The text is the portal's own, of the same values that the routers get; each router writes them in the words
of its gateway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import ndiff

import yaml

from releases.domain.traffic import TENANT_HEADER, TIER_HEADER, ServiceMatch, TrafficRule, matches
from releases.models import Environment, KubernetesPlace
from releases.services.callers import service_path
from releases.services.queries.traffic import TrafficTable

Rules = Mapping[str, tuple[TrafficRule, ...]]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line and what happens to it: "add", "del", "at" for a heading, empty for a line that stays."""

    kind: str
    text: str

    @property
    def mark(self) -> str:
        """What stands before it."""
        return {"add": "+", "del": "-"}.get(self.kind, " ")


def route_diff(table: TrafficTable) -> list[DiffLine]:
    """The routes whose matches the table's draft changes, each whole; empty when none does."""
    before = _led({row.service.name: row.saved_rules for row in table.rows})
    after = _led({row.service.name: row.rules for row in table.rows})
    lines: list[DiffLine] = []
    for model in sorted(before.keys() | after.keys()):
        was, will = before.get(model, ()), after.get(model, ())
        if was != will:
            lines.append(DiffLine("at", _heading(table, model)))
            lines += _lines(_told(table.environment, was), _told(table.environment, will))
    return lines


def _led(rules: Rules) -> dict[str, tuple[ServiceMatch, ...]]:
    """Model -> what it takes over from all services."""
    led: dict[str, tuple[ServiceMatch, ...]] = {}
    for service, of_service in rules.items():
        for model, found in matches(service, of_service).items():
            led[model] = tuple(sorted((*led.get(model, ()), *found)))
    return led


def _heading(table: TrafficTable, model: str) -> str:
    environment = table.environment
    place = KubernetesPlace.objects.filter(environment=environment).first()
    if place is None:
        name = f"route {environment.tenant.slug}/{environment.name}/{model} also takes"
    else:
        name = f"virtualservice/portal-{model} in {place.namespace} also takes"
    serving = table.serving.get(model)
    return name if serving and serving.answers else f"{name}, once it is there"


def _told(environment: Environment, found: tuple[ServiceMatch, ...]) -> list[str]:
    """Each match in one line of YAML."""
    lines = []
    for match in found:
        told: dict[str, object] = {
            "path": service_path(environment.name, match.service),
            TENANT_HEADER: environment.tenant.slug,
        }
        if match.tier:
            told[TIER_HEADER] = match.tier
        elif match.unless:
            told[TIER_HEADER] = {"not": list(match.unless)}
        lines.append(yaml.safe_dump(told, default_flow_style=True, sort_keys=False, width=1_000).strip())
    return lines


def _lines(before: list[str], after: list[str]) -> list[DiffLine]:
    kinds = {"+ ": "add", "- ": "del", "  ": ""}
    return [DiffLine(kinds[line[:2]], line[2:]) for line in ndiff(before, after) if line[:2] in kinds]
