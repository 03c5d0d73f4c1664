"""The pages of models: all models, one model with its versions, one version with its history."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from releases.domain.version import Change
from releases.models import Endpoint, ModelVersion, RegisteredModel, Release
from releases.services import find
from releases.services.queries import offers
from releases.services.queries.comparison import Comparison, compare
from releases.services.queries.composition import CompositionView, view
from releases.services.queries.endpoints import Endpoints, endpoints
from releases.services.queries.offers import Offer
from tenants.access import Actor

MOST_RELEASES = 30


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model in the list. `newest` is its highest semantic version."""

    model: RegisteredModel
    newest: ModelVersion | None
    versions: int
    endpoints: list[Endpoint]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a model's list. `change`: what it declares against the version below it."""

    version: ModelVersion
    change: Change | None
    serves_in: list[str]
    latest: Release | None


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One model."""

    model: RegisteredModel
    versions: list[VersionRow]
    endpoints: Endpoints


@dataclass(frozen=True, slots=True)
class VersionPage:
    """One version, compared with the one before it."""

    version: ModelVersion
    before: ModelVersion | None
    comparison: Comparison
    serves_in: list[str]
    releases: list[Release]
    made: CompositionView | None
    offers: list[Offer]

    @property
    def is_composing(self) -> bool:
        """Whether the page will change by itself soon."""
        return any(offer.is_running for offer in self.offers)


def model_rows(actor: Actor) -> list[ModelRow]:
    """All models of the tenant; three queries."""
    models = list(RegisteredModel.objects.filter(tenant=actor.tenant).order_by("name"))
    versions: defaultdict[int, list[ModelVersion]] = defaultdict(list)
    for version in ModelVersion.objects.filter(model__in=models).defer("signature", "metrics", "tags"):
        versions[version.model_id].append(version)
    places: defaultdict[int, list[Endpoint]] = defaultdict(list)
    serving = Endpoint.objects.filter(model__in=models, stable__isnull=False)
    for endpoint in serving.select_related("environment", "stable").order_by("environment__position"):
        places[endpoint.model_id].append(endpoint)
    return [
        ModelRow(model, _newest(versions[model.pk]), len(versions[model.pk]), places[model.pk])
        for model in models
    ]


def model_page(actor: Actor, name: str, now: datetime) -> ModelPage:
    """A model with its versions, the highest first, then those without a semantic version."""
    model = find.model(actor, name)
    versions = _in_order(list(ModelVersion.objects.filter(model=model).defer("signature", "tags")))
    places = endpoints(actor, now, model=name)
    serving: defaultdict[int, list[str]] = defaultdict(list)
    for place in places.places:
        for row in place.rows:
            if row.endpoint.stable_id:
                serving[row.endpoint.stable_id].append(place.name)
    latest: dict[int, Release] = {}
    related = Release.objects.filter(version__in=versions).select_related("endpoint__environment")
    for release in related.order_by("version_id", "-id").distinct("version_id"):
        latest[release.version_id] = release
    semantic = [version for version in versions if version.semantic]
    below = dict(zip((v.pk for v in semantic), semantic[1:], strict=False))
    rows = [
        VersionRow(
            version, _change(below.get(version.pk), version), serving[version.pk], latest.get(version.pk)
        )
        for version in versions
    ]
    return ModelPage(model, rows, places)


def version_page(actor: Actor, model_name: str, text: str) -> VersionPage:
    """A version with what it changed against the highest version below it."""
    model = find.model(actor, model_name)
    version = find.version(actor, model, text)
    others = _in_order(list(ModelVersion.objects.filter(model=model, version__isnull=False)))
    before = next((other for other in others if _is_below(other, version)), None)
    serving = Endpoint.objects.filter(stable=version).select_related("environment")
    releases = Release.objects.filter(version=version).select_related(
        "endpoint__environment", "endpoint__model", "stable", "version"
    )
    made = view(version)
    return VersionPage(
        version=version,
        before=before,
        comparison=compare(before, version),
        serves_in=[endpoint.environment.name for endpoint in serving.order_by("environment__position")],
        releases=list(releases.order_by("-id")[:MOST_RELEASES]),
        made=made,
        offers=[*offers.of_base(version, made), *offers.of_member(version)],
    )


def _is_below(other: ModelVersion, version: ModelVersion) -> bool:
    this, that = version.semantic, other.semantic
    return this is not None and that is not None and that < this


def _in_order(versions: list[ModelVersion]) -> list[ModelVersion]:
    """By precedence, the highest first; those without a semantic version last, the newest first."""
    semantic = sorted((v for v in versions if v.semantic), key=lambda v: v.semantic, reverse=True)  # type: ignore[arg-type,return-value]  # none is None here
    rest = sorted((v for v in versions if not v.semantic), key=lambda v: v.registry_version, reverse=True)
    return [*semantic, *rest]


def _newest(versions: list[ModelVersion]) -> ModelVersion | None:
    ordered = _in_order(versions)
    return ordered[0] if ordered else None


def _change(before: ModelVersion | None, version: ModelVersion) -> Change | None:
    if before is None or before.semantic is None or version.semantic is None:
        return None
    return version.semantic.change_from(before.semantic)
