"""What can be composed anew: composed versions with a member of which there is a newer version, and how far
that is where somebody has asked for it."""

from collections.abc import Iterable
from dataclasses import dataclass

from releases.domain.errors import Invalid
from releases.models import ModelVersion, Recomposition
from releases.services.queries.composition import CompositionView, newer_than


@dataclass(frozen=True, slots=True)
class Offer:
    """`base` again, with `newer` instead of the `inside` of the member. `asked`: None until somebody asks."""

    base: ModelVersion
    member: str
    inside: str
    newer: ModelVersion
    asked: Recomposition | None

    @property
    def is_open(self) -> bool:
        """Whether it may be asked for, (again)."""
        return self.asked is None or bool(self.asked.failure)

    @property
    def is_running(self) -> bool:
        """Whether it has been asked for and has not ended."""
        return self.asked is not None and self.asked.ended_at is None


def of_base(version: ModelVersion, made: CompositionView | None) -> list[Offer]:
    """What the page of a composed version offers; one query."""
    found = [(version, box.member.name, box.member.version, box.newer) for box in made.newer] if made else []
    return _offers(
        (base, member, inside, newer) for base, member, inside, newer in found if newer is not None
    )


def of_member(version: ModelVersion) -> list[Offer]:
    """What the page of a plain version offers: the highest composed version of each model that has an older
    one of it inside; three queries."""
    name = version.model.registry_name
    holding = ModelVersion.objects.filter(
        tenant=version.tenant_id,
        composition__core__members__contains=[{"model": name}],
        version__isnull=False,
        prerelease="",
        note="",
    ).select_related("model")
    highest: dict[int, ModelVersion] = {}
    for row in sorted(holding, key=lambda one: (one.major or 0, one.minor or 0, one.patch or 0)):
        highest[row.model_id] = row
    if not highest:
        return []
    siblings = list(
        ModelVersion.objects.filter(model=version.model, version__isnull=False).defer("signature", "tags")
    )
    found = []
    for base in highest.values():
        try:
            made = base.composed_of
        except Invalid:  # a row of another day
            continue
        for member in made.members if made else ():
            newer = newer_than(member, siblings) if member.model == name else None
            if newer is not None and newer.pk == version.pk:
                found.append((base, member.name, member.version, version))
    return _offers(found)


def _offers(found: Iterable[tuple[ModelVersion, str, str, ModelVersion]]) -> list[Offer]:
    wanted = list(found)
    rows = Recomposition.objects.filter(base__in=[base for base, _, _, _ in wanted]).select_related(
        "result__model"
    )
    asked = {(row.base_id, row.member, row.newer_id): row for row in rows} if wanted else {}
    return [
        Offer(base, member, inside, newer, asked.get((base.pk, member, newer.pk)))
        for base, member, inside, newer in wanted
    ]
