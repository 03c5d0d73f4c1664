"""Request bodies: JSON that every layer behind can hold.

Refused here, so that nothing behind has to think of it: numbers without a value or beyond what JSON keeps
exact (RFC 7493), characters that the database cannot store, names given twice, and endless nesting.
"""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

LARGEST_INTEGER = 2**53 - 1
DEEPEST = 32


class StrictJSONParser(BaseParser):
    """`application/json` in UTF-8; its size is limited by DATA_UPLOAD_MAX_MEMORY_SIZE."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read the body; 400 when it is not JSON, 422 when it is JSON that cannot be kept."""
        body: bytes = (parser_context or {})["request"].body
        try:
            data = json.loads(
                body.decode("utf-8"),
                parse_constant=_constant,
                parse_int=_integer,
                parse_float=_float,
                object_pairs_hook=_object,
            )
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        except UnicodeDecodeError as error:
            raise ParseError("The body is not UTF-8.") from error
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}.") from error
        _check(data)
        return data


def _constant(text: str) -> float:
    raise ValidationError(f"{text} is not a number.")


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > LARGEST_INTEGER:
        raise ValidationError("A whole number is too large; at most 2^53 - 1 is kept exactly.")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValidationError("A number is too large.")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValidationError("A name is given twice in one object.")
    return data


def _check(data: object) -> None:
    """Walk without recursion: the input decides how deep it is."""
    waiting: list[tuple[object, int]] = [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValidationError(f"The JSON is nested more than {DEEPEST} deep.")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for inner in (*value, *value.values())]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and not is_storable(value):
            raise ValidationError("A text has a NUL or half a surrogate pair in it.")


def is_storable(text: str) -> bool:
    """Whether the database can hold the text."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
