"""The form of the Traffic page as values: what was chosen in each row, and what the row was drawn from.

Understands names of inputs only; whether a mapping is right is for the command to say.
"""

import re

from django.http import QueryDict

from releases.domain.traffic import TrafficRule
from releases.services.commands.traffic import WantedMapping
from releases.services.queries.traffic import COLUMNS

_ROW = re.compile(r"revision\.([a-z0-9-]{1,40})")


def read_draft(data: QueryDict) -> list[WantedMapping]:
    """Every row of the form, by the hidden revision that each has."""
    names = [found[1] for key in data if (found := _ROW.fullmatch(key))]
    return [WantedMapping(name, _rules(data, name), data.get(f"revision.{name}", "")) for name in names]


def _rules(data: QueryDict, service: str) -> tuple[TrafficRule, ...]:
    chosen = {tier: data.get(f"rule.{service}.{tier or 'default'}", "") for tier in COLUMNS}
    return tuple(TrafficRule(tier, model) for tier, model in chosen.items() if model)
