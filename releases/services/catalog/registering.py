"""Registers the model of a run under the next semantic version. A number is never given twice."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from releases.domain.errors import Invalid
from releases.domain.version import FIRST_VERSION, Change, SemanticVersion
from releases.models import ModelVersion, RegisteredModel
from releases.ports import ModelRegistry, RegisteredVersion
from releases.services import find
from releases.services.catalog.mirror import SEMANTIC_TAG, lock, new_row, tagged_version
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability

# Others who register at the same moment; each try needs one of them to have been faster.
_TRIES = 20


def register_version(
    actor: Actor,
    registry: ModelRegistry,
    *,
    model: str,
    run_id: str,
    artifact_path: str,
    change: Change,
    description: str,
    at: datetime,
) -> ModelVersion:
    """Register, tag and mirror. Raises `Invalid`, and what the registry raises.

    The registry is asked while the model's row is locked: a number that was read stays the highest until
    it is used. That holds a transaction during a few requests with a time limit, and only registrations of
    the same model wait for it. If the transaction is lost after the registry has accepted, the version is
    discovered by its tag like any other.
    """
    actor.require(Capability.REQUEST)
    with transaction.atomic():
        row = lock(find.model(actor, model))
        number = _next(row, registry.list_versions(row.registry_name), change)
        tags = {SEMANTIC_TAG: str(number)}
        registered = registry.register(row.registry_name, run_id, artifact_path, tags, description)
        number = _settle(row, registry, registered.number, number, change)
        version = new_row(row, registered)
        version.tags[SEMANTIC_TAG] = str(number)
        version.set_semantic(number)
        version.save(force_insert=True)
        audit.record(
            actor.tenant,
            at=at,
            actor=actor.name,
            action="version.registered",
            subject=f"{row.name} {number}",
            detail={"run_id": run_id, "registry_version": registered.number, "change": change.value},
            request_id=actor.request_id,
        )
    return version


def _settle(
    model: RegisteredModel, registry: ModelRegistry, own: int, number: SemanticVersion, change: Change
) -> SemanticVersion:
    """Somebody who does not share our database may have tagged the same number at the same moment: the
    one that the registry numbered first keeps it, the other takes the next."""
    for _ in range(_TRIES):
        others = [version for version in registry.list_versions(model.registry_name) if version.number != own]
        earlier = [version for version in others if version.number < own]
        if number not in _semantic_versions(earlier):
            return number
        number = _next(model, others, change)
        registry.annotate(model.registry_name, own, {SEMANTIC_TAG: str(number)})
    raise Invalid(f"others register versions of {model.name} all the time; try again", code="contended")


def _next(model: RegisteredModel, registered: Iterable[RegisteredVersion], change: Change) -> SemanticVersion:
    """One bump above the highest version that the registry or the portal has ever seen."""
    mirrored = ModelVersion.objects.filter(model=model, version__isnull=False)
    known = [SemanticVersion.parse(str(text)) for text in mirrored.values_list("version", flat=True)]
    known += _semantic_versions(registered)
    if not known:
        return FIRST_VERSION
    return SemanticVersion.parse(str(max(known).bump(change)))  # refuses a part that got too large


def _semantic_versions(registered: Iterable[RegisteredVersion]) -> list[SemanticVersion]:
    found = []
    for version in registered:
        try:
            tagged = tagged_version(version.tags)
        except Invalid:
            continue  # whatever it is, it is no number of ours
        if tagged is not None:
            found.append(tagged)
    return found
