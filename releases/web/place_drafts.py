"""The forms of an environment as values: inputs as typed, what they mean, and what is wrong with them.

Understands how numbers and lists are typed; what is right is for the domain to say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from django.http import QueryDict

from releases.domain.errors import DomainError, Invalid

T = TypeVar("T")
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `kind`: text, number, optional (a number, or empty for none), lines (one value a line),
    choice."""

    name: str
    label: str
    help: str = ""
    unit: str = ""
    kind: str = "text"
    hint: str = ""
    choices: Choices = ()

    def read(self, text: str) -> Any:
        """What was typed; raises `ValueError` with a sentence."""
        if self.kind in ("number", "optional"):
            if not text and self.kind == "optional":
                return None
            if not text:
                raise ValueError("has to be a number")
            if (
                not text.removeprefix("-").isascii()
                or not text.removeprefix("-").isdecimal()
                or len(text) > 12
            ):
                raise ValueError("has to be a whole number")
            return int(text)
        if self.kind == "lines":
            return tuple(line.strip() for line in text.splitlines() if line.strip())
        return text

    def written(self, value: Any) -> str:
        """The same the other way round."""
        if self.kind == "lines":
            return "\n".join(value)
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Filled:
    """An input with what stands in it, for a template."""

    input: Input
    value: str
    error: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is drawn narrow."""
        return self.input.kind in ("number", "optional")


@dataclass(frozen=True, slots=True)
class Draft(Generic[T]):
    """A form. `value` is None while something is wrong; `errors`: input's name -> message."""

    inputs: Sequence[Input]
    given: Mapping[str, str]
    value: T | None = None
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Filled]:
        """Every input by its name."""
        return {
            one.name: Filled(one, self.given.get(one.name, ""), self.errors.get(one.name, ""))
            for one in self.inputs
        }

    @property
    def wrong(self) -> list[tuple[str, str]]:
        """Label and message of everything that is wrong, in the order of the form."""
        labels = {one.name: one.label for one in self.inputs}
        return [(labels[name], self.errors[name]) for name in labels if name in self.errors]

    def refused(self, error: DomainError) -> "Draft[T]":
        """The draft with what a command said to it; what belongs to no input is said above the form."""
        names = {one.name for one in self.inputs}
        said = {name: messages[0] for name, messages in error.fields.items() if name in names}
        return replace(self, errors={**self.errors, **said})


def read_draft(inputs: Sequence[Input], make: Callable[..., T], data: QueryDict) -> Draft[T]:
    """What was typed, as a value if it is one."""
    given = {one.name: data.get(one.name, "").replace("\x00", "").strip()[:10_000] for one in inputs}
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for one in inputs:
        try:
            values[one.name] = one.read(given[one.name])
        except ValueError as error:
            errors[one.name] = str(error)
    value: T | None = None
    if not errors:
        try:
            value = make(**values)
        except Invalid as error:
            errors = {name: messages[0] for name, messages in error.fields.items()}
    return Draft(inputs, given, value, errors)


def filled_draft(inputs: Sequence[Input], value: T) -> Draft[T]:
    """The form of a value."""
    return Draft(inputs, {one.name: one.written(getattr(value, one.name)) for one in inputs}, value)
