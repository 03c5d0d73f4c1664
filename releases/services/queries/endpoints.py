"""What serves where: each endpoint with its state, its release, its holds, and whether one can go back."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from releases.domain.judge.explanation import duration, percent
from releases.domain.release import ACTIVE, Phase
from releases.models import Deployment, Endpoint, Hold, Release
from releases.services.baseline import Baseline, baseline_of
from tenants.access import Actor
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint. `released_by`: the release that made its stable version stable."""

    endpoint: Endpoint
    active: Release | None
    released_by: Release | None
    holds: list[Hold]
    warm_until: datetime | None
    is_previous_warm: bool
    baseline: Baseline | None

    @property
    def look(self) -> str:
        """Its state, as a word of `templatetags.words`."""
        if self.endpoint.drift:
            return "drift"
        if self.active is not None:
            return self.active.phase
        if self.holds:
            return "hold"
        return "stable" if self.endpoint.stable_id else "none"

    @property
    def text(self) -> str:
        """The word for it where the usual one does not fit."""
        if self.look == "hold":
            versions = ", ".join(str(hold.version.version) for hold in self.holds)
            return f"{versions} on hold"
        return {"stable": "Serving", "none": "Nothing serves"}.get(self.look, "")

    @property
    def traffic(self) -> str:
        """ "48 requests/s, 0.2 % errors in the last 10 min" """
        if self.baseline is None:
            return "no traffic seen yet"
        lately = f"in the last {duration(self.baseline.seconds)}"
        if not self.baseline.requests:
            return f"no request {lately}"
        rate = self.baseline.requests_per_second
        shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        return f"{shown} requests/s, {percent(self.baseline.error_rate)} errors {lately}"

    @property
    def traffic_look(self) -> str:
        """How much the traffic says, as a word of `templatetags.words`."""
        if self.baseline is None or not self.baseline.requests:
            return "no_data"
        test = self.baseline.self_test
        return "flag" if test is not None and test.warns else "stable"

    @property
    def why_not_back(self) -> str:
        """Why one cannot go back now; empty when one can."""
        if self.active is not None:
            return "a release is active"
        if self.endpoint.previous is None or self.endpoint.stable is None:
            return "there is no previous version"
        if any(hold.version_id == self.endpoint.previous_id for hold in self.holds):
            return f"{self.endpoint.previous.version} is on hold"
        return ""


@dataclass(frozen=True, slots=True)
class Place:
    """The endpoints of one environment."""

    name: str
    rows: list[EndpointRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """All of a tenant's, by environment."""

    places: list[Place]
    may_operate: bool

    @property
    def drifted(self) -> list[EndpointRow]:
        """Those that do not serve what was released."""
        return [row for place in self.places for row in place.rows if row.endpoint.drift]

    @property
    def held(self) -> list[Hold]:
        """All standing holds."""
        return [hold for place in self.places for row in place.rows for hold in row.holds]

    @property
    def serving(self) -> list[EndpointRow]:
        """Those that have a stable version."""
        return [row for place in self.places for row in place.rows if row.endpoint.stable_id]

    @property
    def number(self) -> int:
        """How many there are."""
        return sum(len(place.rows) for place in self.places)


def endpoints(actor: Actor, now: datetime, model: str | None = None) -> Endpoints:
    """All endpoints of the tenant (of one model, if given) in a constant number of queries."""
    found = Endpoint.objects.filter(tenant=actor.tenant).select_related(
        "environment", "model", "stable", "previous"
    )
    if model is not None:
        found = found.filter(model__name=model)
    rows = list(found.order_by("-environment__position", "environment__name", "model__name"))
    related = Release.objects.filter(endpoint__in=rows).select_related("version")
    active = {
        release.endpoint_id: release
        for release in related.filter(phase__in=[phase.value for phase in ACTIVE])
    }
    released_by: dict[tuple[int, int], Release] = {}
    succeeded = related.filter(phase=Phase.SUCCEEDED.value).order_by("endpoint_id", "version_id", "-id")
    for release in succeeded.distinct("endpoint_id", "version_id"):
        released_by[release.endpoint_id, release.version_id] = release
    holds: defaultdict[int, list[Hold]] = defaultdict(list)
    for hold in Hold.objects.filter(endpoint__in=rows, lifted_at__isnull=True).select_related("version"):
        holds[hold.endpoint_id].append(hold)
    kept = {
        (deployment.endpoint_id, deployment.version_id): deployment.keep_until
        for deployment in Deployment.objects.filter(endpoint__in=rows)
        if deployment.keep_until is None or deployment.keep_until > now
    }
    places: dict[str, Place] = {}
    for row in rows:
        place = places.setdefault(row.environment.name, Place(row.environment.name))
        previous = (row.pk, row.previous_id or 0)
        place.rows.append(
            EndpointRow(
                endpoint=row,
                active=active.get(row.pk),
                released_by=released_by.get((row.pk, row.stable_id or 0)),
                holds=holds[row.pk],
                warm_until=kept.get(previous),
                is_previous_warm=previous in kept,
                baseline=baseline_of(row, now),
            )
        )
    return Endpoints(list(places.values()), actor.may(Capability.OPERATE))
