"""One version of the registry as a row. Asks no registry."""

from collections.abc import Mapping

from releases.domain.errors import Invalid
from releases.domain.version import SemanticVersion
from releases.models import ModelVersion, RegisteredModel
from releases.ports import RegisteredVersion

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
        metrics=dict(registered.metrics),
        tags=dict(registered.tags),
        aliases=list(registered.aliases),
        registered_at=registered.created_at,
    )


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
