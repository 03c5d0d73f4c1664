"""What the form of a new release offers: models, places, versions with their states, and what is needed."""

from collections import defaultdict
from dataclasses import dataclass

from releases.domain.release import ACTIVE, Phase
from releases.domain.version import Change
from releases.models import Endpoint, Environment, Hold, ModelVersion, RegisteredModel, Release
from releases.services.queries.comparison import Comparison, compare
from tenants.access import Actor

MOST_VERSIONS = 12


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """One version that may be picked; `why_not` says why it may not."""

    version: ModelVersion
    change: Change | None
    comparison: Comparison
    why_not: str
    look: str
    state: str
    succeeded_in: list[str]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that has to be so before traffic moves; `look` tells whether it is."""

    look: str
    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """All that the form shows for a model and an environment."""

    models: list[RegisteredModel]
    environments: list[Environment]
    model: RegisteredModel | None
    environment: Environment | None
    stable: ModelVersion | None
    active: Release | None
    choices: list[VersionChoice]
    chosen: VersionChoice | None
    left_out: int
    needs: list[Need]
    endpoint: Endpoint | None = None


def offer(actor: Actor, model: str, environment: str, version: str) -> Offer:
    """Read the offer; unknown names fall back to the first model, the last environment."""
    models = list(RegisteredModel.objects.filter(tenant=actor.tenant).order_by("name"))
    places = list(
        Environment.objects.filter(tenant=actor.tenant)
        .select_related("requires_success_in")
        .order_by("position")
    )
    picked = next((m for m in models if m.name == model), models[0] if models else None)
    place = next((e for e in places if e.name == environment), places[0] if places else None)
    if picked is None or place is None:
        return Offer(models, places, picked, place, None, None, [], None, 0, [])
    endpoint = Endpoint.objects.select_related("stable").filter(environment=place, model=picked).first()
    stable = endpoint.stable if endpoint else None
    active = (
        Release.objects.select_related("version")
        .filter(endpoint=endpoint, phase__in=[phase.value for phase in ACTIVE])
        .first()
        if endpoint
        else None
    )
    choices, left_out = _choices(picked, endpoint, stable)
    chosen = next((c for c in choices if c.version.version == version), None)
    if chosen is None:
        chosen = next((c for c in choices if not c.why_not), None)
    needs = _needs(place, chosen)
    return Offer(models, places, picked, place, stable, active, choices, chosen, left_out, needs, endpoint)


def _choices(
    model: RegisteredModel, endpoint: Endpoint | None, stable: ModelVersion | None
) -> tuple[list[VersionChoice], int]:
    versions = list(ModelVersion.objects.filter(model=model, version__isnull=False))
    versions.sort(key=lambda v: v.semantic, reverse=True)  # type: ignore[arg-type,return-value]  # none is None here
    holds = {hold.version_id: hold for hold in Hold.objects.filter(endpoint=endpoint, lifted_at__isnull=True)}
    succeeded: defaultdict[int, list[str]] = defaultdict(list)
    ends = Release.objects.filter(version__model=model, phase=Phase.SUCCEEDED.value)
    names = ends.order_by("endpoint__environment__position").values_list(
        "version", "endpoint__environment__name"
    )
    for version_id, name in names.distinct():
        succeeded[version_id].append(name)
    choices = []
    for version in versions[:MOST_VERSIONS]:
        comparison = compare(stable, version)
        why_not, look, state = "", "", ""
        if stable is not None and version.pk == stable.pk:
            why_not, look, state = "Serves there already.", "stable", "stable"
        elif version.pk in holds:
            why_not, look, state = f"{holds[version.pk].reason}. Lift the hold first.", "hold", "on hold"
        choices.append(
            VersionChoice(
                version, comparison.declared, comparison, why_not, look, state, succeeded[version.pk]
            )
        )
    return choices, max(0, len(versions) - MOST_VERSIONS)


def _needs(place: Environment, chosen: VersionChoice | None) -> list[Need]:
    needs = [Need("next", "Validation: artifact, signature, a test load, metrics against stable")]
    first = place.requires_success_in
    if first is not None and chosen is not None:
        done = first.name in chosen.succeeded_in
        text = f"The same digest has to have succeeded in {first.name}"
        needs.append(
            Need("pass", f"{chosen.version.version} succeeded in {first.name}")
            if done
            else Need("fail", text)
        )
    if chosen is not None and chosen.comparison.breaking:
        words = ", ".join(chosen.comparison.breaking[:3])
        needs.append(Need("fail", f"{words}: more than a {chosen.change} change, validation will refuse it"))
    elif chosen is not None and chosen.change is not None and chosen.version.signature:
        needs.append(Need("pass", f"A {chosen.change} change fits its signature"))
    count = place.approvals_required
    if count:
        people = "1 approval" if count == 1 else f"{count} approvals"
        needs.append(Need("awaiting_approval", f"{people}, never by whoever files it"))
    else:
        needs.append(Need("pass", f"{place.name.capitalize()} asks for no approval"))
    return needs
