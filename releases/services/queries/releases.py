"""The list of a tenant's releases, filtered, page by page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from releases.domain.release import ACTIVE, TERMINAL, Phase
from releases.models import Environment, RegisteredModel, Release
from tenants.access import Actor

PAGE_SIZE = 30
_ID = re.compile(r"[0-9A-Z]{1,26}")
# What the filter offers: the word in the address, the word on the page, the phases.
GROUPS: tuple[tuple[str, str, frozenset[Phase]], ...] = (
    ("", "All", frozenset(Phase)),
    ("active", "Active", ACTIVE),
    ("succeeded", "Succeeded", frozenset({Phase.SUCCEEDED})),
    ("bad", "Ended badly", frozenset(TERMINAL - {Phase.SUCCEEDED})),
)


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of releases and the filters that made it. `older`: the id to go on from."""

    releases: list[Release]
    older: str | None
    is_first_page: bool
    group: str
    model: str
    environment: str
    models: list[str]
    environments: list[str]

    @property
    def groups(self) -> list[tuple[str, str]]:
        """The filter by outcome."""
        return [(name, word) for name, word, _ in GROUPS]

    @property
    def is_filtered(self) -> bool:
        """Whether anything was left out on purpose."""
        return bool(self.group or self.model or self.environment)


def list_releases(actor: Actor, asked: Mapping[str, str]) -> Listing:
    """The newest releases, older than `asked["before"]` if given."""
    names = {name: phases for name, _, phases in GROUPS}
    group = asked.get("phase", "") if asked.get("phase", "") in names else ""
    models = list(RegisteredModel.objects.filter(tenant=actor.tenant).values_list("name", flat=True))
    environments = list(Environment.objects.filter(tenant=actor.tenant).values_list("name", flat=True))
    model = asked.get("model", "") if asked.get("model", "") in models else ""
    environment = asked.get("environment", "") if asked.get("environment", "") in environments else ""
    rows = Release.objects.filter(tenant=actor.tenant).select_related(
        "endpoint__environment", "endpoint__model", "version", "stable"
    )
    if group:
        rows = rows.filter(phase__in=[phase.value for phase in names[group]])
    if model:
        rows = rows.filter(endpoint__model__name=model)
    if environment:
        rows = rows.filter(endpoint__environment__name=environment)
    before = asked.get("before", "")
    if _ID.fullmatch(before):
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-id")[: PAGE_SIZE + 1])
    return Listing(
        releases=found[:PAGE_SIZE],
        older=found[PAGE_SIZE - 1].pk if len(found) > PAGE_SIZE else None,
        is_first_page=not before,
        group=group,
        model=model,
        environment=environment,
        models=models,
        environments=environments,
    )
