"""The Traffic page: which model answers which caller in an environment, and what serves there.

A draft of the form may be laid over what is saved; nothing is written here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from releases.domain.release import ACTIVE
from releases.domain.traffic import TIERS, TrafficRule, in_order, resolve, revision
from releases.models import Endpoint, Environment, RegisteredModel, Release, Service, ServiceRule
from releases.services.commands.traffic import WantedMapping
from tenants.access import Actor

COLUMNS = (None, *TIERS)
"""The columns of the table: the default, then the tiers."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What answers for a model in an environment; `share` is the candidate's, in percent."""

    stable: str | None = None
    candidate: str | None = None
    share: int = 0

    @property
    def answers(self) -> bool:
        """Whether there is a version that requests can reach."""
        return self.stable is not None or self.share > 0

    @property
    def is_split(self) -> bool:
        """Whether two versions share the requests, or one has no other half."""
        return self.candidate is not None and 0 < self.share < 100

    @property
    def text(self) -> str:
        """ "stable 1.3.2, 100 %" """
        if not self.answers:
            return "nothing serves here yet"
        candidate = f"candidate {self.candidate}, {self.share} %"
        if self.stable is None:
            return candidate if self.share == 100 else f"{candidate}; the rest is answered 503"
        if not self.share:
            return f"stable {self.stable}, 100 %"
        return candidate if self.share == 100 else f"stable {self.stable}, {100 - self.share} %; {candidate}"


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One cell that the draft changes; an empty model is none. `answering`: the model that the cell's
    requests get then, which is the default's where the cell has none."""

    service: str
    tier: str | None
    before: str
    after: str
    answering: str
    serving: Serving

    @property
    def text(self) -> str:
        """ "retention, premium: churn to churn-ensemble" """
        nothing = "nothing" if self.tier is None else "as default"
        where = f"{self.service}, {self.tier or 'default'}"
        return f"{where}: {self.before or nothing} to {self.after or nothing}"


@dataclass(frozen=True, slots=True)
class Cell:
    """Service x tier: the model in the form, and the one that is saved."""

    tier: str | None
    model: str
    saved: str
    serving: Serving | None

    @property
    def name(self) -> str:
        """The column's name."""
        return self.tier or "default"

    @property
    def is_changed(self) -> bool:
        """Whether the draft has another model than what is saved."""
        return self.model != self.saved

    @property
    def is_unserved(self) -> bool:
        """Whether requests would be led to where nothing answers."""
        return self.serving is not None and not self.serving.answers


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service in one environment. `seen`: the revision that the draft was drawn from; `saved`: the
    present one."""

    service: Service
    cells: list[Cell]
    seen: str
    saved: str

    @property
    def is_changed(self) -> bool:
        """Whether the draft changes it."""
        return any(cell.is_changed for cell in self.cells)

    @property
    def is_overtaken(self) -> bool:
        """Whether somebody else has changed it since the draft was begun."""
        return self.seen != self.saved

    @property
    def is_unmapped(self) -> bool:
        """Whether nothing answers its callers here."""
        return not any(cell.saved for cell in self.cells)

    @property
    def rules(self) -> tuple[TrafficRule, ...]:
        """As they would be saved."""
        return tuple(TrafficRule(cell.tier, cell.model) for cell in self.cells if cell.model)

    @property
    def saved_rules(self) -> tuple[TrafficRule, ...]:
        """As they are saved."""
        return tuple(TrafficRule(cell.tier, cell.saved) for cell in self.cells if cell.saved)


@dataclass(frozen=True, slots=True)
class TrafficTable:
    """All services of a tenant in one environment. `serving`: model -> what answers for it."""

    environment: Environment
    models: list[str]
    rows: list[ServiceRow]
    serving: Mapping[str, Serving]
    gone: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[RuleChange]:
        """What the draft changes, cell by cell."""
        return [self._change(row, cell) for row in self.rows for cell in row.cells if cell.is_changed]

    def _change(self, row: ServiceRow, cell: Cell) -> RuleChange:
        rule = resolve(row.rules, cell.tier)
        answering = rule.model if rule else ""
        serving = self.serving.get(answering, Serving())
        return RuleChange(row.service.name, cell.tier, cell.saved, cell.model, answering, serving)

    @property
    def overtaken(self) -> list[ServiceRow]:
        """What somebody else has changed under the draft."""
        return [row for row in self.rows if row.is_overtaken and row.is_changed]

    @property
    def served(self) -> list[str]:
        """The models of which a version answers here."""
        return [name for name in self.models if name in self.serving and self.serving[name].answers]

    @property
    def unserved(self) -> list[str]:
        """The models of which none does."""
        return [name for name in self.models if name not in self.served]


def environments(actor: Actor) -> list[Environment]:
    """The places of the tenant, the one that matters most first."""
    found = Environment.objects.filter(tenant=actor.tenant).select_related("tenant")
    return list(found.order_by("-position", "name"))


def traffic_table(
    actor: Actor, environment: Environment, draft: Iterable[WantedMapping] = ()
) -> TrafficTable:
    """The table with a draft laid over it: rows that the draft leaves as it found them are as saved."""
    services = list(Service.objects.filter(tenant=actor.tenant).order_by("name"))
    saved = mappings([environment], services)
    models = list(
        RegisteredModel.objects.filter(tenant=actor.tenant).order_by("name").values_list("name", flat=True)
    )
    here = serving(environment)
    wanted = {each.service: each for each in draft if each.expected != revision(each.rules)}
    rows = [
        _row(service, saved.get((service.pk, environment.pk), ()), wanted.pop(service.name, None), here)
        for service in services
    ]
    return TrafficTable(environment, models, rows, here, sorted(wanted))


def mappings(
    places: Sequence[Environment], services: Sequence[Service]
) -> dict[tuple[int, int], tuple[TrafficRule, ...]]:
    """(service's key, environment's key) -> rules in order; one query."""
    found: dict[tuple[int, int], list[TrafficRule]] = {}
    rows = ServiceRule.objects.filter(environment__in=places, service__in=services).select_related("model")
    for row in rows:
        found.setdefault((row.service_id, row.environment_id), []).append(row.value())
    return {key: in_order(rules) for key, rules in found.items()}


def serving(environment: Environment) -> dict[str, Serving]:
    """Model -> what answers for it here; two queries."""
    active = {
        release.endpoint_id: release
        for release in Release.objects.select_related("version").filter(
            endpoint__environment=environment, phase__in=ACTIVE
        )
    }
    endpoints = Endpoint.objects.filter(environment=environment).select_related("model", "stable")
    return {
        endpoint.model.name: _serving(endpoint, active.get(endpoint.pk))
        for endpoint in endpoints.defer("baseline")
    }


def _serving(endpoint: Endpoint, release: Release | None) -> Serving:
    stable = None if endpoint.stable is None else endpoint.stable.version
    if release is None:
        return Serving(stable)
    return Serving(stable, release.version.version, release.split_candidate)


def _row(
    service: Service,
    saved: tuple[TrafficRule, ...],
    wanted: WantedMapping | None,
    here: Mapping[str, Serving],
) -> ServiceRow:
    now = {rule.tier: rule.model for rule in saved}
    then = now if wanted is None else {rule.tier: rule.model for rule in wanted.rules}
    cells = []
    for tier in COLUMNS:
        model = then.get(tier, "")
        cells.append(Cell(tier, model, now.get(tier, ""), here.get(model, Serving()) if model else None))
    is_at = revision(saved)
    seen = is_at if wanted is None or wanted.expected is None else wanted.expected
    return ServiceRow(service, cells, seen, is_at)
