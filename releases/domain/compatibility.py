"""Which bump a changed signature needs, and why, in words.

Compares MLflow model signatures as plain JSON: {"inputs": [...], "outputs": [...], "params": [...]},
each entry a column, a tensor or a parameter. The question is always: does a caller of the old version
still get what he expects from the new one? Pure and total: whatever JSON comes in, it does not raise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from releases.domain.version import Change, covers

# What MLflow itself converts on the way in without a loss; every other change of type breaks callers.
_WIDENINGS = {("integer", "long"), ("integer", "double"), ("float", "double")}
_DEEPEST = 32
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `where` is input, output or parameter; `before` and `after` describe types."""

    where: str
    name: str
    before: str | None
    after: str | None
    change: Change
    words: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All differences between two signatures, and the bump that they need together."""

    needed: Change
    differences: tuple[Difference, ...]


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Comparison:
    """What changed from the signature `before` to `after`; None is a signature without any part."""
    differences = tuple(
        difference
        for part, where in (("inputs", "input"), ("outputs", "output"), ("params", "parameter"))
        for difference in _compare_part(where, _specs(before, part), _specs(after, part))
    )
    return Comparison(_largest(difference.change for difference in differences), differences)


def fits(declared: Change, comparison: Comparison) -> bool:
    """Whether a declared bump is enough for what changed."""
    return covers(declared, comparison.needed)


def _compare_part(where: str, before: Sequence[Spec], after: Sequence[Spec]) -> Iterator[Difference]:
    if where != "parameter" and bool(before) != bool(after):
        yield _appeared(where) if after else _vanished(where)
        return
    if _all_named(before) and _all_named(after):
        old = {str(spec["name"]): spec for spec in before}
        new = {str(spec["name"]): spec for spec in after}
        yield from _compare_named(where, old, new, "")
    else:
        yield from _compare_placed(where, before, after)


def _compare_named(
    where: str, old: Mapping[str, Spec], new: Mapping[str, Spec], path: str, depth: int = 0
) -> Iterator[Difference]:
    """Entries that callers find by their name; their order is of no account."""
    for name, spec in old.items():
        if name in new:
            yield from _compare_spec(where, f"{path}{name}", spec, new[name], depth)
        else:
            yield _removed(where, f"{path}{name}", spec)
    for name, spec in new.items():
        if name not in old:
            yield _added(where, f"{path}{name}", spec)


def _compare_placed(where: str, before: Sequence[Spec], after: Sequence[Spec]) -> Iterator[Difference]:
    """Entries of which some have no name: told apart by their place."""
    for index in range(max(len(before), len(after))):
        name = f"#{index + 1}"
        if index >= len(after):
            yield _removed(where, name, before[index])
        elif index >= len(before):
            yield _added(where, name, after[index])
        else:
            old, new = before[index].get("name"), after[index].get("name")
            if old != new:
                words = f"{where} {name} was called {old or 'nothing'} and is now {new or 'nothing'}"
                yield Difference(where, name, _text(old), _text(new), Change.MAJOR, words)
            yield from _compare_spec(where, name, before[index], after[index])


def _compare_spec(where: str, name: str, old: Spec, new: Spec, depth: int = 0) -> Iterator[Difference]:
    """The same column, tensor, parameter or property in both."""
    yield from _compare_type(where, name, old, new, depth)
    if where == "parameter":
        if old.get("default") != new.get("default"):
            before, after = _text(old.get("default")), _text(new.get("default"))
            words = f"the default of parameter {name} was {before} and is now {after}"
            yield Difference(where, name, before, after, Change.MINOR, words)
        return
    if _required(old) == _required(new):
        return
    stricter = _required(new)
    # An input may ask for less and an output may promise more; the reverse breaks callers.
    harmless = stricter if where == "output" else not stricter
    before, after = ("optional", "required") if stricter else ("required", "optional")
    yield Difference(
        where,
        name,
        before,
        after,
        Change.MINOR if harmless else Change.MAJOR,
        f"{where} {name} was {before} and is now {after}",
    )


def _compare_type(where: str, name: str, old: Spec, new: Spec, depth: int) -> Iterator[Difference]:
    before, after = _described(old), _described(new)
    if before == after and old.get("type") not in ("object", "array", "map"):
        return
    if old.get("type") == new.get("type") and depth < _DEEPEST:
        if old.get("type") == "object":
            yield from _compare_named(where, _properties(old), _properties(new), f"{name}.", depth + 1)
            return
        for kind, key, suffix in (("array", "items", "[]"), ("map", "values", "{}")):
            if old.get("type") == kind:
                inner_old, inner_new = _mapping(old.get(key)), _mapping(new.get(key))
                yield from _compare_type(where, name + suffix, inner_old, inner_new, depth + 1)
                return
    if before == after:
        return
    widened = where == "input" and _accepts_all_of(old, new)
    yield Difference(
        where,
        name,
        before,
        after,
        Change.MINOR if widened else Change.MAJOR,
        f"{where} {name} was {before} and is now {after}"
        + (", which accepts all that was accepted before" if widened else ""),
    )


def _accepts_all_of(old: Spec, new: Spec) -> bool:
    """Whether every value of the old type may be given for the new one."""
    if new.get("type") == "any" or (old.get("type"), new.get("type")) in _WIDENINGS:
        return True
    if old.get("type") != "tensor" or new.get("type") != "tensor":
        return False
    old_dtype, old_shape = _tensor(old)
    new_dtype, new_shape = _tensor(new)
    return (
        old_dtype == new_dtype
        and len(old_shape) == len(new_shape)
        and all(b in (-1, a) for a, b in zip(old_shape, new_shape, strict=True))
    )


def _removed(where: str, name: str, spec: Spec) -> Difference:
    words = f"{where} {name} ({_described(spec)}) was removed"
    return Difference(where, name, _described(spec), None, Change.MAJOR, words)


def _added(where: str, name: str, spec: Spec) -> Difference:
    kind = _described(spec)
    if where == "output":
        change, words = Change.MINOR, f"output {name} ({kind}) was added"
    elif where == "parameter" and spec.get("default") is not None:
        change, words = Change.MINOR, f"parameter {name} ({kind}) was added with a default"
    elif where == "input" and not _required(spec):
        change, words = Change.MINOR, f"optional input {name} ({kind}) was added"
    else:
        change, words = Change.MAJOR, f"required {where} {name} ({kind}) was added"
    return Difference(where, name, None, kind, change, words)


def _appeared(where: str) -> Difference:
    change = Change.MINOR if where == "output" else Change.MAJOR  # inputs are enforced from now on
    words = f"the {where}s were not described and now are"
    return Difference(where, "", None, "described", change, words)


def _vanished(where: str) -> Difference:
    words = f"the {where}s are no longer described"
    return Difference(where, "", "described", None, Change.MAJOR, words)


def _largest(changes: Iterator[Change]) -> Change:
    largest = Change.PATCH
    for change in changes:
        if covers(change, largest):
            largest = change
    return largest


def _specs(signature: Mapping[str, Any] | None, part: str) -> list[Spec]:
    entries = (signature or {}).get(part)
    return [_mapping(entry) for entry in entries] if isinstance(entries, list | tuple) else []


def _all_named(specs: Sequence[Spec]) -> bool:
    names = [spec.get("name") for spec in specs]
    return all(names) and len({str(name) for name in names}) == len(names)


def _required(spec: Spec) -> bool:
    """MLflow 1 wrote `optional`, MLflow 2 and 3 write `required`."""
    return bool(spec.get("required", not spec.get("optional", False)))


def _properties(spec: Spec) -> dict[str, Spec]:
    return {str(name): _mapping(value) for name, value in _mapping(spec.get("properties")).items()}


def _tensor(spec: Spec) -> tuple[str, Sequence[Any]]:
    inner = _mapping(spec.get("tensor-spec"))
    shape = inner.get("shape")
    return str(inner.get("dtype")), shape if isinstance(shape, list | tuple) else ()


def _described(spec: Spec, depth: int = 0) -> str:
    """A type in words: double, tensor int64 [-1, 3], array of long, object {a: long, b: string?}."""
    kind = spec.get("type", "unknown")
    if depth > _DEEPEST:
        return "…"
    if kind == "tensor":
        dtype, shape = _tensor(spec)
        return f"tensor {dtype} [{', '.join(str(size) for size in shape)}]"
    if kind == "array":
        return f"array of {_described(_mapping(spec.get('items')), depth + 1)}"
    if kind == "map":
        return f"map of {_described(_mapping(spec.get('values')), depth + 1)}"
    if kind == "object":
        inner = ", ".join(
            f"{name}: {_described(value, depth + 1)}{'' if _required(value) else '?'}"
            for name, value in sorted(_properties(spec).items())
        )
        return f"object {{{inner}}}"
    if isinstance(spec.get("shape"), list | tuple):  # a parameter that takes several values
        return f"list of {kind}"
    return str(kind)


def _mapping(value: object) -> Spec:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
