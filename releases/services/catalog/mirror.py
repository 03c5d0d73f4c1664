"""One version of the registry as a row. Asks no registry."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from releases.domain import composition
from releases.domain.errors import Invalid
from releases.domain.version import SemanticVersion
from releases.models import ModelVersion, RegisteredModel
from releases.ports import RegisteredVersion

logger = logging.getLogger(__name__)

LARGEST_COMPOSITION = 200_000
SEMANTIC_TAG = "semantic_version"
_LONGEST_PRERELEASE = 100


def tagged_version(tags: Mapping[str, str]) -> SemanticVersion | None:
    """The semantic version in the registry's tags; None without the tag. Raises `Invalid`."""
    text = tags.get(SEMANTIC_TAG, "").strip()
    if not text:
        return None
    version = SemanticVersion.parse(text)
    if len(version.prerelease) > _LONGEST_PRERELEASE:
        raise Invalid(f"the pre-release of {text[:40]}… is too long", code="bad_version")
    return version


def lock(model: RegisteredModel) -> RegisteredModel:
    """Rows of this model's versions are written by one transaction at a time.

    NO KEY: rows that only point at the model (releases, endpoints) need not wait."""
    return RegisteredModel.objects.select_for_update(no_key=True).get(pk=model.pk)


def new_row(model: RegisteredModel, registered: RegisteredVersion) -> ModelVersion:
    """The row, not yet saved and without its semantic version."""
    return ModelVersion(
        tenant_id=model.tenant_id,
        model=model,
        registry_version=registered.number,
        run_id=registered.run_id[:64],
        source=registered.source[:500],
        description=registered.description,
        signature=None if registered.signature is None else dict(registered.signature),
        composition=_composition(registered),
        metrics=dict(registered.metrics),
        tags=dict(registered.tags),
        aliases=list(registered.aliases),
        registered_at=registered.created_at,
    )


def _composition(registered: RegisteredVersion) -> dict[str, Any] | None:
    """The document, if it is one that can be read and stored; else the version is shown like any other, and
    validation says what is wrong with it."""
    if registered.composition is None:
        return None
    try:
        composition.parse(registered.composition)
        text = json.dumps(registered.composition, allow_nan=False)
    except (Invalid, ValueError, TypeError) as error:
        logger.warning("composition of %s version %d: %s", registered.name, registered.number, error)
        return None
    if len(text) > LARGEST_COMPOSITION or "\\u0000" in text:
        return None
    return dict(registered.composition)


def name_row(row: ModelVersion, taken: Mapping[str, int]) -> None:
    """Give the row the version of its tag, or a note why not. `taken`: version -> number in the registry."""
    row.note = ""
    try:
        version = tagged_version(row.tags)
    except Invalid as error:
        row.note = f"tag {SEMANTIC_TAG} in the registry: {error}"[:300]
        return
    if version is None:
        row.note = f"no tag {SEMANTIC_TAG} in the registry"
        return
    holder = taken.get(str(version), row.registry_version)
    if holder == row.registry_version:
        row.set_semantic(version)
    else:
        row.note = f"tag {SEMANTIC_TAG} in the registry: {version} is its version {holder} already"
