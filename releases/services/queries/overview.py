"""The overview of a tenant: what rolls out, what waits for the reader, what ended badly, and health."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db import connection
from django.db.models import Count, Q, QuerySet

from releases.domain.release import ACTIVE, TERMINAL, Phase
from releases.domain.verdict import Verdict, VerdictKind
from releases.models import ComponentHealth, Environment, Release
from releases.models.places import TargetKind
from releases.services.health import OF_A_PLACE
from releases.services.queries.waiting import Waiting, waiting
from tenants.access import Actor
from tenants.models import Tenant
from tenants.roles import Capability

A_DAY, A_WEEK = timedelta(days=1), timedelta(days=7)
BAD_ENDS = frozenset(TERMINAL - {Phase.SUCCEEDED})
MOST_ROWS = 50
SPARK_POINTS = 40
# Workers look every second or every few; what they have not seen for so long is not known any more.
NOT_SEEN_FOR = 60.0
COMPONENTS = {
    "mlflow": "MLflow registry",
    "gateway": "Gateway",
    "target": "Serving target",
    "metrics": "Metric source",
    "workers": "Workers",
}
_EVIDENCE = """
    SELECT release_id, array_agg(peak ORDER BY bin)
    FROM (
        SELECT release_id, bin, max(harm_evidence) AS peak
        FROM (
            SELECT release_id, harm_evidence,
                   ntile(%(points)s) OVER (PARTITION BY release_id ORDER BY at) AS bin
            FROM releases_sample
            WHERE release_id = ANY(%(releases)s) AND arm = 'candidate' AND harm_evidence IS NOT NULL
        ) AS cut
        GROUP BY release_id, bin
    ) AS peaks
    GROUP BY release_id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A release in a table. `spark`: its evidence of harm from 0 to 1 (the limit), on a log scale."""

    release: Release
    verdict: Verdict | None
    spark: list[float]
    seconds: float

    @property
    def hint(self) -> str:
        """A few words below the verdict."""
        verdict = self.verdict
        if verdict is None or self.release.phase not in (Phase.CANARY, Phase.PAUSED, Phase.PROMOTING):
            return self.release.reason
        if verdict.kind is VerdictKind.INCONCLUSIVE and verdict.seconds_to_certificate is not None:
            return f"certain in about {_roughly(verdict.seconds_to_certificate)}"
        stages = self.release.rollout_plan().stages
        if len(stages) > 1 and self.release.phase == Phase.CANARY:
            return f"step {self.release.step} of {len(stages)}"
        return ""

    @property
    def spark_tone(self) -> str:
        """Red once the limit was reached."""
        return "danger" if self.spark and max(self.spark) >= 1 else ""


@dataclass(frozen=True, slots=True)
class Component:
    """An engine as the workers last saw it. `state` is `unknown` when nobody has looked lately."""

    name: str
    state: str
    detail: str
    age: float | None


@dataclass(frozen=True, slots=True)
class Week:
    """How the releases of the last seven days ended."""

    filed: int
    succeeded: int
    rolled_back: int
    rejected: int
    cancelled: int
    median_seconds_to_rollback: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the page."""

    active: list[Row]
    waits: list[Waiting]
    paused: list[Release]
    bad: list[Row]
    ended: int
    health: list[Component]
    week: Week
    sample_age: int | None

    @property
    def number_waiting(self) -> int:
        """What this reader has to do."""
        return len(self.waits) + len(self.paused)

    @property
    def unwell(self) -> int:
        """How many components are not healthy."""
        return sum(component.state != "up" for component in self.health)

    @property
    def worst(self) -> str:
        """The state that the health panel as a whole is in."""
        states = {component.state for component in self.health}
        return next((state for state in ("down", "unknown", "degraded") if state in states), "up")

    @property
    def harmed(self) -> int:
        """Releases that are rolling back now."""
        return sum(row.release.phase == Phase.ROLLING_BACK for row in self.active)


def overview(actor: Actor, now: datetime) -> Overview:
    """Read everything in a constant number of queries."""
    active = list(_releases(actor).filter(phase__in=[phase.value for phase in ACTIVE])[:MOST_ROWS])
    ended = _releases(actor).filter(finished_at__gte=now - A_DAY)
    bad = list(
        ended.filter(phase__in=[phase.value for phase in BAD_ENDS]).order_by("-finished_at")[:MOST_ROWS]
    )
    sparks = evidence_lines([*active, *bad])
    may_operate = actor.may(Capability.OPERATE)
    sampled = [r.sampled_at for r in active if r.sampled_at and r.phase in (Phase.CANARY, Phase.PAUSED)]
    return Overview(
        active=[_row(release, sparks, now) for release in active],
        waits=[item for item in waiting(actor) if item.refusal is None],
        paused=[release for release in active if may_operate and release.phase == Phase.PAUSED],
        bad=[_row(release, sparks, now) for release in bad],
        ended=ended.count(),
        health=component_health(actor.tenant, now),
        week=_week(actor, now),
        sample_age=max(0, int((now - max(sampled)).total_seconds())) if sampled else None,
    )


def active_rows(actor: Actor, now: datetime) -> list[Row]:
    """What rolls out now, for the live part of the page."""
    active = list(_releases(actor).filter(phase__in=[phase.value for phase in ACTIVE])[:MOST_ROWS])
    sparks = evidence_lines(active)
    return [_row(release, sparks, now) for release in active]


def evidence_lines(releases: Sequence[Release]) -> dict[str, list[float]]:
    """Release id -> its evidence of harm over time, at most SPARK_POINTS values from 0 to 1; one query."""
    limits = {release.pk: 1 / release.rollout_plan().alpha for release in releases}
    if not limits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_EVIDENCE, {"points": SPARK_POINTS, "releases": list(limits)})
        found = cursor.fetchall()
    return {pk: [_height(value, limits[pk]) for value in values] for pk, values in found}


def component_health(tenant: Tenant, now: datetime) -> list[Component]:
    """Every engine that the tenant's releases depend on, in the order of the path of a release: those that
    all share, and those of its own environments, which no other tenant gets to see."""
    environments = list(Environment.objects.filter(tenant=tenant))
    rows = ComponentHealth.objects.filter(Q(environment__isnull=True) | Q(environment__in=environments))
    seen = {(row.name, row.environment_id): row for row in rows}
    remote = [environment for environment in environments if environment.target != TargetKind.LOCAL]
    here = [None] if len(remote) < len(environments) or not remote else []
    wanted: list[tuple[str, Environment | None]] = []
    for name in COMPONENTS:
        places = [*here, *remote] if name in OF_A_PLACE else [None]
        wanted += [(name, environment) for environment in places]
    others = [(name, None) for name, place in seen if place is None and name not in COMPONENTS]
    return [_component(name, place, seen, now) for name, place in [*wanted, *others]]


def _component(
    name: str,
    environment: Environment | None,
    seen: Mapping[tuple[str, int | None], ComponentHealth],
    now: datetime,
) -> Component:
    word = COMPONENTS.get(name, name.replace("_", " ").capitalize())
    if environment is not None:
        word = f"{word} of {environment.name}"
    row = seen.get((name, environment.pk if environment else None))
    if row is None:
        return Component(word, "unknown", "Nobody has looked yet: are the workers running?", None)
    age = max(0.0, (now - row.seen_at).total_seconds())
    if age > NOT_SEEN_FOR:
        said = "The workers have not reported since; what is shown is old." if name == "workers" else ""
        return Component(word, "unknown", said, age)
    return Component(word, row.state, row.detail, age)


def _releases(actor: Actor) -> QuerySet[Release]:
    related = ("endpoint__environment", "endpoint__model", "version", "stable")
    return Release.objects.filter(tenant=actor.tenant).select_related(*related)


def _row(release: Release, sparks: dict[str, list[float]], now: datetime) -> Row:
    since = release.started_at or release.requested_at
    until = release.finished_at or now
    return Row(release, release.last_verdict(), sparks.get(release.pk, []), (until - since).total_seconds())


def _height(evidence: float, limit: float) -> float:
    """A log scale from a tenth to the limit."""
    low = -1.0
    height = (math.log10(max(evidence, 1e-3)) - low) / (math.log10(limit) - low)
    return round(min(1.0, max(0.0, height)), 3)


def _roughly(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _week(actor: Actor, now: datetime) -> Week:
    filed = Release.objects.filter(tenant=actor.tenant, requested_at__gte=now - A_WEEK)
    ends = dict(filed.order_by().values_list("phase").annotate(Count("pk")))
    rolled_back = filed.filter(phase=Phase.ROLLED_BACK.value, started_at__isnull=False)
    times = [
        (finished - started).total_seconds()
        for started, finished in rolled_back.values_list("started_at", "finished_at")[:500]
        if started and finished
    ]
    return Week(
        filed=sum(ends.values()),
        succeeded=ends.get(Phase.SUCCEEDED.value, 0),
        rolled_back=ends.get(Phase.ROLLED_BACK.value, 0),
        rejected=ends.get(Phase.REJECTED.value, 0),
        cancelled=ends.get(Phase.CANCELLED.value, 0),
        median_seconds_to_rollback=median(times) if times else None,
    )
