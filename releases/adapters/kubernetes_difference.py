"""In what an object in a cluster differs from the one that is wanted, field by field. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_VALUE = 60
_ABSENT = object()


def differences(wanted: Any, found: Any, place: str = "spec") -> Iterator[str]:
    """Sentences without their subject: "spec.ports[0].port is 9090, not 8080"."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in [*wanted, *(key for key in found if key not in wanted)]:
            yield from differences(wanted.get(key, _ABSENT), found.get(key, _ABSENT), f"{place}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif found is _ABSENT:
        yield f"{place} is missing"
    elif wanted is _ABSENT:
        yield f"{place} is {_short(found)}, and should not be there"
    elif isinstance(wanted, list) and isinstance(found, list):
        yield f"{place} has {len(found)} entries, not {len(wanted)}"
    elif wanted != found:
        yield f"{place} is {_short(found)}, not {_short(wanted)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
