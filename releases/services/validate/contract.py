"""Does its number tell the truth? The signature against that of the version it follows."""

from collections.abc import Sequence
from dataclasses import asdict

from releases.domain.compatibility import Comparison, compare, fits
from releases.domain.version import SemanticVersion, covers
from releases.models import ModelVersion
from releases.services.checks import Result, failed, passed
from releases.services.validate.subject import Subject


def signature(subject: Subject) -> Result:
    """There is a signature, and whoever calls the version before can call this one, or was told by a bump."""
    own = subject.found().signature
    if not own or not own.get("inputs"):
        return failed("the model has no signature: log it with signature=… or input_example=…")
    before = _before(subject)
    number = subject.version.semantic
    if before is None or before.semantic is None or number is None:
        return passed("present; there is no version before it to compare with")
    if not before.signature:
        return passed(f"present; {before.version} has none to compare with", compared_with=before.version)
    comparison = compare(before.signature, own)
    declared = number.change_from(before.semantic)
    detail = {
        "compared_with": before.version,
        "declared": declared.value,
        "needed": comparison.needed.value,
        "differences": [asdict(difference) for difference in comparison.differences],
    }
    if not fits(declared, comparison):
        breaking = [d.words for d in comparison.differences if not covers(declared, d.change)]
        needed = comparison.needed.value
        words = f"{_listed(breaking)}: that is a {needed} change, filed as a {declared.value}"
        return failed(f"{words} ({before.version} to {number})", **detail)
    return passed(f"{_summary(comparison)} {before.version}", **detail)


def _before(subject: Subject) -> ModelVersion | None:
    """What callers use now: stable; where nothing serves yet, the highest version below."""
    if subject.release.stable is not None:
        return subject.release.stable
    own = subject.version.semantic
    others = ModelVersion.objects.filter(model=subject.version.model, version__isnull=False)
    ordered: list[tuple[SemanticVersion, ModelVersion]] = []
    for row in others.exclude(pk=subject.version.pk):
        if own is not None and row.semantic is not None and row.semantic < own:
            ordered.append((row.semantic, row))
    return max(ordered, key=lambda pair: pair[0])[1] if ordered else None


def _summary(comparison: Comparison) -> str:
    if not comparison.differences:
        return "the same as that of"
    return f"{_listed([difference.words for difference in comparison.differences])}; fits the step from"


def _listed(words: Sequence[str], most: int = 3) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
