"""What a version changes against another: its signature line by line, its metrics with their change.

For readers only: whether a change is allowed is decided by validation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from releases.domain import compatibility
from releases.domain.version import Change, covers
from releases.models import ModelVersion
from releases.services.validate.quality import is_larger_better

# A smaller relative change of a metric is called neither better nor worse.
HARDLY_ANY = 0.005


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One input, output or parameter. `change`: same, added, removed or changed."""

    part: str
    name: str
    before: str
    after: str
    change: str

    @property
    def tone(self) -> str:
        """Added is a gain, the others may break callers."""
        return {"same": "", "added": "success"}.get(self.change, "warn")


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One metric. `change` is relative to `before`; `is_better` None where nothing can be said."""

    name: str
    before: float | None
    after: float | None
    change: float | None
    is_better: bool | None

    @property
    def tone(self) -> str:
        """Better, worse or neither."""
        return {None: "", True: "success", False: "warn"}[self.is_better]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All lines; `declared` is the bump that the version numbers claim, `breaking` what is more than
    that and will be refused."""

    signature: tuple[SignatureLine, ...]
    metrics: tuple[MetricLine, ...]
    declared: Change | None
    breaking: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[SignatureLine, ...]:
        """The lines of the signature that differ."""
        return tuple(line for line in self.signature if line.change != "same")


def compare(before: ModelVersion | None, after: ModelVersion) -> Comparison:
    """Compare a version with the one that is stable (None: it is the first)."""
    declared = None
    if before is not None and before.pk != after.pk and before.semantic and after.semantic:
        declared = after.semantic.change_from(before.semantic)
    old = before.signature if before else None
    breaking: tuple[str, ...] = ()
    if declared is not None and old and after.signature:
        found = compatibility.compare(old, after.signature).differences
        breaking = tuple(difference.words for difference in found if not covers(declared, difference.change))
    return Comparison(
        signature=tuple(_signature(old, after.signature, is_first=before is None)),
        metrics=tuple(_metrics(before.metrics if before else {}, after.metrics)),
        declared=declared,
        breaking=breaking,
    )


def describe_type(entry: Mapping[str, Any]) -> str:
    """ "double", "long, optional", "tensor float32 (-1, 4)" """
    text = str(entry.get("type", "?"))
    tensor = entry.get("tensor-spec")
    if isinstance(tensor, Mapping):
        shape = ", ".join(str(size) for size in tensor.get("shape", ()))
        text = f"tensor {tensor.get('dtype', '?')} ({shape})"
    return text if entry.get("required", True) and "default" not in entry else f"{text}, optional"


def _signature(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, is_first: bool
) -> Iterable[SignatureLine]:
    for part, word in (("inputs", "input"), ("outputs", "output"), ("params", "parameter")):
        old, new = _named(before, part), _named(after, part)
        for name in [*new, *(name for name in old if name not in new)]:
            was, is_now = old.get(name, ""), new.get(name, "")
            if is_first or was == is_now:
                change = "same"
            else:
                change = "added" if not was else "removed" if not is_now else "changed"
            yield SignatureLine(word, name, was, is_now, change)


def _named(signature: Mapping[str, Any] | None, part: str) -> dict[str, str]:
    entries = (signature or {}).get(part) or []
    return {
        str(entry.get("name", f"#{number}" if len(entries) > 1 else "")): describe_type(entry)
        for number, entry in enumerate(entries)
    }


def _metrics(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[MetricLine]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        change = (new - old) / abs(old) if old and new is not None else None
        larger = is_larger_better(name)
        is_better: bool | None = None
        if change is not None and larger is not None and abs(change) >= HARDLY_ANY:
            is_better = (change > 0) == larger
        yield MetricLine(name, old, new, change, is_better)
