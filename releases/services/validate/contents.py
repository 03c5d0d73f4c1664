"""Is it safe to load, and does it load? What is in the artifact."""

from django.conf import settings

from releases.services.checks import Result, failed, passed
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
