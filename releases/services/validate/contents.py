"""Is it safe to load, and does it load? What is in the artifact."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from releases.domain import composition
from releases.domain.errors import Invalid
from releases.models import ModelVersion
from releases.services import mlmodel
from releases.services.checks import Result, failed, passed, skipped
from releases.services.pickle_scan import scan
from releases.services.validate.subject import Subject


def pickle(subject: Subject) -> Result:
    """No file in the artifact runs what it should not when it is unpickled."""
    found = scan(subject.fetched())
    detail = {
        "dangerous": [str(finding) for finding in found.dangerous],
        "suspicious": [str(finding) for finding in found.suspicious],
        "notes": list(found.notes),
    }
    if found.dangerous:
        more = f", and {len(found.dangerous) - 1} more" if len(found.dangerous) > 1 else ""
        return failed(f"must not be loaded: {found.dangerous[0]}{more}", **detail)
    if found.suspicious:
        count = len(found.suspicious)
        things = "1 import" if count == 1 else f"{count} imports"
        return passed(f"nothing dangerous; {things} worth a look: {found.suspicious[0]}", **detail)
    return passed("nothing dangerous", **detail)


CODE = {".py", ".pyc", ".pyd", ".so"}
MOST_NAMED = 5


def code(subject: Subject) -> Result:
    """What code of its own the model brings, which nobody can judge but who reads it: named, not refused.

    The package `serving`, as this portal itself has it, is told apart: composed models bring a copy."""
    artifact, known = subject.fetched(), set(_known_code())
    files = sorted(path for path in artifact.rglob("*") if path.suffix in CODE and path.is_file())
    others = [path.relative_to(artifact).as_posix() for path in files if _fingerprint(path) not in known]
    detail = {"files": len(files), "known": len(files) - len(others), "to_read": others[:200]}
    if not files:
        return passed("the model brings no code of its own", **detail)
    words = f"the model brings code of its own, {_files(len(files))}, which the model server runs"
    if not others:
        return passed(f"{words}; all are serving, as this portal has it", **detail)
    named = ", ".join(others[:MOST_NAMED]) + (" …" if len(others) > MOST_NAMED else "")
    ours = f"; {detail['known']} are serving, as this portal has it" if detail["known"] else ""
    return passed(f"{words}{ours}. Read before you approve: {named}", **detail)


def members(subject: Subject) -> Result:
    """What a composed model is made of: the same versions that were validated here, as far as they were."""
    document = mlmodel.composition_document(subject.fetched())
    if document is None:
        return skipped("not composed of other models")
    try:
        made = composition.parse(document)
    except Invalid as error:
        return failed(str(error))
    known = 0
    for member in made.members:
        row = ModelVersion.objects.filter(
            tenant=subject.version.tenant_id,
            model__registry_name=member.model,
            registry_version=member.registry_version,
        ).first()
        if row is None or not row.digest or mlmodel.is_encrypted(subject.store.path(row.digest)):
            continue  # of an encrypted member the digest there counts the wrapped key
        if row.digest != member.digest:
            return failed(
                f"{member.model} {member.version} inside is not what was validated here: its digest is "
                f"{member.digest[:19]}…, and was {row.digest[:19]}…"
            )
        known += 1
    words = f"{known} of {len(made.members)} members were validated here, and are the same"
    return passed(f"{made.summary}; {words}", members=[member.name for member in made.members], known=known)


def loads(subject: Subject) -> Result:
    """The model loads and predicts its input example, in a process with limits of time and memory.

    The example and the description of the answer are kept: the smoke test asks the same again."""
    seconds, memory_mb = settings.VALIDATION_SECONDS, settings.VALIDATION_MEMORY_MB
    report = subject.ports.probe.inspect(subject.fetched(), seconds, memory_mb)
    detail = {
        "example": report.example,
        "outputs": [dict(output) for output in report.outputs],
        "flavors": list(report.flavors),
        "seconds": report.seconds,
        "peak_memory_mb": report.peak_memory_mb,
    }
    if report.failure is not None:
        return failed(report.failure, **detail)
    words = (
        f"loaded and answered its input example in {report.seconds:.1f} s with {report.peak_memory_mb:.0f} MB"
    )
    return passed(words, **detail)


def _known_code() -> Iterator[tuple[str, str]]:
    """Name and content of the files that run beside models of this portal."""
    for path in (settings.BASE_DIR / "serving").rglob("*.py"):
        yield _fingerprint(path)


def _fingerprint(path: Path) -> tuple[str, str]:
    with path.open("rb") as file:
        return path.name, hashlib.file_digest(file, "sha256").hexdigest()


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
