"""Reads the spec of a composed model and says of each mistake in which line and column it is.

The form is in `spec.schema.json`; what a schema cannot say is in `composition.core_problems`. Knows YAML
and JSON Schema; no registry.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from serving.blocks import STORAGE, WRAPPINGS
from serving.composition import core_problems
from serving.errors import Place, Problem, Refused

LARGEST_BYTES = 1 << 20
_SCHEMA = Draft202012Validator(
    json.loads(Path(__file__).with_name("spec.schema.json").read_text(encoding="utf-8"))
)
Marks = dict[Place, tuple[int, int]]
"""For each place its line and column, from 1: of the key, or of the entry of a list."""
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


class BadSpec(Refused):
    """A spec that cannot be composed: one line for each mistake, `FILE:LINE:COLUMN: place: sentence`."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec that fits its schema. `core` and `blocks` are as they stand in the file."""

    file: Path
    model: str
    change: str
    description: str
    core: Mapping[str, Any]
    blocks: Mapping[str, Mapping[str, Any]]
    marks: Marks

    def bad(self, problems: Iterable[Problem]) -> BadSpec:
        """The error that points into this file."""
        return BadSpec(_line(self.file, self.marks, each.place, each.message) for each in problems)


def load(file: Path) -> Spec:
    """Read and check a spec; raises `BadSpec`."""
    content, marks = _read(file)
    problems = sorted(_schema_problems(content), key=lambda found: marks.get(found[0], (0, 0)))
    if not problems:
        problems = [(("core", *place), message) for place, message in core_problems(content["core"])]
    if problems:
        raise BadSpec(_line(file, marks, place, message) for place, message in problems)
    return Spec(
        file=file,
        model=content["model"],
        change=content["change"],
        description=content.get("description", ""),
        core=content["core"],
        blocks={key: content[key] for key in (*WRAPPINGS, STORAGE) if key in content},
        marks=marks,
    )


def _read(file: Path) -> tuple[Any, Marks]:
    """The content, and where everything in it is."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BadSpec([f"{file}: cannot be read: {error.strerror}"]) from error
    if len(text) > LARGEST_BYTES:
        raise BadSpec([f"{file}: is larger than {LARGEST_BYTES} bytes, which no spec is"])
    marks: Marks = {(): (1, 1)}
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        return _value(node, (), marks, set()), marks
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        raise BadSpec([f"{where}: {error.problem}"]) from error
    except RecursionError as error:
        raise BadSpec([f"{file}: is nested too deep"]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadSpec([f"{file}: is not YAML: {' '.join(str(error).split())}"]) from error


def _value(node: yaml.Node | None, place: Place, marks: Marks, seen: set[int]) -> Any:
    """The value of a node; notes where it is. `seen` finds aliases, which could make a small file huge."""
    if node is None:
        return None
    marks.setdefault(place, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.CollectionNode):
        if id(node) in seen:
            raise yaml.MarkedYAMLError(problem="aliases are not read here", problem_mark=node.start_mark)
        seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key has to be text", problem_mark=key.start_mark)
            if key.value in mapping:
                problem = f"{key.value!r} is there twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            marks[*place, key.value] = (key.start_mark.line + 1, key.start_mark.column + 1)
            mapping[key.value] = _value(value, (*place, key.value), marks, seen)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, (*place, index), marks, seen) for index, each in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def _schema_problems(content: Any) -> Iterator[tuple[Place, str]]:
    if not isinstance(content, dict):
        yield (), "a spec is a mapping with the keys model, change and core"
        return
    for error in _SCHEMA.iter_errors(content):
        yield from _in_words(error)


def _in_words(error: ValidationError) -> Iterator[tuple[Place, str]]:
    """What an error of the schema says to the author of the file."""
    place, value, wanted = tuple(error.absolute_path), error.instance, error.validator_value
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        for key in value:
            if key not in known:
                yield (*place, key), f"is unknown here; known are {', '.join(known)}"
    elif error.validator == "required":
        missing = [key for key in wanted if key not in value and f"'{key}'" in error.message]
        yield place, f"{' and '.join(missing)} is missing"
    elif error.validator == "enum":
        yield place, f"{value!r} is none of {', '.join(map(str, wanted))}"
    elif error.validator == "type":
        hint = (
            " (put it in quotation marks)"
            if wanted == "string" and not isinstance(value, dict | list)
            else ""
        )
        yield place, f"has to be {_TYPES[wanted]}, and {_shown(value)} is not{hint}"
    elif "propertyNames" in error.absolute_schema_path:
        yield (*place, str(value)), f"{value!r} is not {error.schema['description']}"
    elif error.validator == "pattern":
        yield place, f"{value!r} is not {error.schema.get('description', 'well formed')}"
    elif error.validator in ("minimum", "exclusiveMinimum"):
        yield place, f"{value} is too small: {wanted} or more"
    elif error.validator in ("minProperties", "maxProperties"):
        few = error.validator == "minProperties"
        yield (
            place,
            f"has {len(value)} entries, which is too {'few' if few else 'many'}: {wanted} is the limit",
        )
    else:
        yield place, error.message


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)


def _line(file: Path, marks: Marks, place: Place, message: str) -> str:
    """One mistake, at its place or at the nearest above it that the file has."""
    known = place
    while known and known not in marks:
        known = known[:-1]
    line, column = marks.get(known, (1, 1))
    named = ".".join(map(str, place))
    return f"{file}:{line}:{column}: {named}: {message}" if named else f"{file}:{line}:{column}: {message}"
