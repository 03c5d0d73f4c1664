"""What a composed version is made of, for its page: what a request meets, in order, and which members have
newer versions than the one inside."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from releases.domain.composition import BLOCKS, Composition, Core, Member, Rules
from releases.domain.errors import Invalid
from releases.domain.version import SemanticVersion
from releases.models import ModelVersion

_COMBINED = {
    "mean_of_probabilities": "The weighted mean of their probabilities is the answer.",
    "mean": "The weighted mean of their answers is the answer.",
    "vote": "They vote, each with its weight.",
}
_FALLBACKS = {"error": "refuses the request", "default": "takes the default", "null": "leaves them empty"}


@dataclass(frozen=True, slots=True)
class Box:
    """Something that a request meets: what it is called, and sentences about it."""

    key: str
    title: str
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberBox:
    """One member. `version` is its row, None when this tenant does not know it; `newer` is the highest
    version above the one inside. `percent` is its weight, None where nothing is weighed; `asked`: when it
    is."""

    member: Member
    version: ModelVersion | None
    newer: ModelVersion | None
    percent: float | None
    asked: tuple[str, ...]

    @property
    def has_another_model(self) -> bool:
        """Whether its name alone does not say which model it is."""
        return self.member.name != self.member.model


@dataclass(frozen=True, slots=True)
class CompositionView:
    """The graph of a composed version."""

    made: Composition
    before: tuple[Box, ...]
    core: Box
    members: tuple[MemberBox, ...]
    storage: tuple[str, ...]

    @property
    def newer(self) -> list[MemberBox]:
        """The members of which there is a newer version."""
        return [box for box in self.members if box.newer is not None]


def view(version: ModelVersion) -> CompositionView | None:
    """Of a composed version, None of others; two queries."""
    try:
        made = version.composed_of
    except Invalid:  # a row of another day
        return None
    if made is None:
        return None
    known = _versions(version.tenant_id, {member.model for member in made.members})
    return CompositionView(
        made=made,
        before=tuple(_block(name, made.blocks[name]) for name in BLOCKS[:2] if name in made.blocks),
        core=_core(made),
        members=tuple(_member(member, made, known.get(member.model, [])) for member in made.members),
        storage=("Their files are encrypted in the artifact, and opened in the memory of the model server.",)
        if made.is_encrypted
        else (),
    )


def _versions(tenant: int, models: Iterable[str]) -> Mapping[str, list[ModelVersion]]:
    """Name in the registry -> its versions that have a semantic version."""
    found: dict[str, list[ModelVersion]] = {}
    rows = ModelVersion.objects.filter(
        tenant=tenant, model__registry_name__in=set(models), version__isnull=False
    )
    for row in rows.select_related("model").defer("signature", "tags", "metrics", "composition"):
        found.setdefault(row.model.registry_name, []).append(row)
    return found


def _member(member: Member, made: Composition, versions: list[ModelVersion]) -> MemberBox:
    inside = next((row for row in versions if row.registry_version == member.registry_version), None)
    return MemberBox(
        member=member,
        version=inside,
        newer=newer_than(member, versions),
        percent=None if member.weight is None else 100 * member.weight,
        asked=_asked(member.name, made.rules) if made.rules else (),
    )


def newer_than(member: Member, versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The highest of the member's versions above the one inside; a pre-release is none to be offered."""
    try:
        inside = SemanticVersion.parse(member.version)
    except Invalid:
        return None
    above = [
        (row.semantic, row)
        for row in versions
        if row.semantic is not None and not row.semantic.prerelease and row.semantic > inside and not row.note
    ]
    return max(above, key=lambda pair: pair[0])[1] if above else None


def _asked(name: str, rules: Rules) -> tuple[str, ...]:
    """When a router asks a member, in words."""
    said = [f"tier {tier}" for tier, to in rules.tiers.items() if to == name]
    if rules.other == name:
        said.append("every other tier" if rules.tiers else "every tier")
    rows = f"fewer than {rules.fewer_rows_than} rows"
    if rules.small == rules.large == name:
        said.append("no tier")
    elif rules.small == name:
        said.append(f"no tier, {rows}")
    elif rules.large == name:
        said.append(f"no tier, {rules.fewer_rows_than} rows or more")
    return tuple(said)


def _core(made: Composition) -> Box:
    if made.core is Core.SINGLE:
        return Box("core", "One model", ("Answers alone.",))
    if made.core is Core.ROUTER:
        return Box("core", "Router", ("One of them answers, by the caller's tier and the number of rows.",))
    how = _COMBINED.get(made.combine, "Their answers are combined.")
    failure = (
        "When one of them fails, the request fails."
        if made.at_least is None
        else f"{made.at_least} of {len(made.members)} have to answer; the weights of those that do count."
    )
    return Box("core", "Ensemble", (f"All are asked at once. {how}", failure))


def _block(name: str, block: Mapping[str, Any]) -> Box:
    if name == "cache":
        seconds = block.get("ttl_seconds")
        kept = f" An answer is kept for {seconds} s." if isinstance(seconds, int) else ""
        return Box(
            name, "Cache", (f"The same inputs are answered from Redis, and what follows is not asked.{kept}",)
        )
    entity, views = block.get("entity"), block.get("view_features")
    features = [one for one in views if isinstance(one, str)] if isinstance(views, list) else []
    looked = f"Looks up {', '.join(features)}" if features else "Looks up features"
    by = f" by {entity}" if isinstance(entity, str) else ""
    policies = [
        f"{what}: {_FALLBACKS[policy]}"
        for what in ("missing", "stale", "unreachable")
        if isinstance(policy := block.get(f"on_{what}"), str) and policy in _FALLBACKS
    ]
    return Box(name, "Features", (f"{looked}{by}.", *([f"When {'; '.join(policies)}."] if policies else [])))
