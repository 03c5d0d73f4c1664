"""Is it what was registered? The version in the registry, and its artifact."""

from releases.domain.errors import Invalid
from releases.ports import Refused
from releases.services import artifacts
from releases.services.catalog.mirror import SEMANTIC_TAG
from releases.services.checks import Result, failed, passed
from releases.services.validate.subject import Subject


def version(subject: Subject) -> Result:
    """The registry has the version, under the number that it was filed as."""
    row = subject.version
    try:
        registered = subject.ports.registry.get_version(row.model.registry_name, row.registry_version)
    except Refused as error:
        return failed(f"the registry does not give version {row.registry_version}: {error}")
    tag = registered.tags.get(SEMANTIC_TAG, "").strip()
    if tag != row.version:
        called = f"calls it {tag}" if tag else "has no tag for it"
        return failed(f"filed as {row.version}, but the registry {called} now", tag=tag)
    subject.registered = registered
    words = f"version {registered.number} of {registered.name} in the registry, tagged {tag}"
    return passed(words, registry_version=registered.number, run_id=registered.run_id)


def artifact(subject: Subject) -> Result:
    """The artifact can be fetched and is the same as ever; its digest and size are kept."""
    row = subject.version
    try:
        digest, size = artifacts.fetch(row, subject.ports.registry, subject.store)
    except (Refused, Invalid) as error:
        return failed(str(error))
    if row.digest and row.digest != digest:
        words = (
            f"the artifact changed since it was first fetched: {row.digest[:19]}… then, {digest[:19]}… now"
        )
        return failed(words, digest=digest, size_bytes=size, digest_before=row.digest)
    row.digest, row.size_bytes = digest, size
    row.save(update_fields=["digest", "size_bytes"])
    subject.artifact = subject.store.path(digest)
    return passed(f"{digest[:19]}…, {_in_words(size)}", digest=digest, size_bytes=size)


def _in_words(size: int) -> str:
    """ "41.2 MB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
