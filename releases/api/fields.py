"""What forms and answers are made of; fields take JSON by its word: a number is not a text."""

import re
from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

Fields = serializers.Serializer[Any]


class ClosedSerializer(Fields):
    """An object without any other members than these."""

    closed = True


class Text(serializers.CharField):
    """A text without spaces at its ends; `pattern` is what the whole of it has to match."""

    def __init__(self, *, pattern: str | None = None, said: str = "", **options: Any) -> None:
        if pattern is not None:
            expression = re.compile(rf"\A(?:{pattern})\Z", re.ASCII)
            options["validators"] = [
                RegexValidator(expression, said or "This value does not match the pattern.")
            ]
        super().__init__(**options)

    def to_internal_value(self, data: object) -> str:
        """The text; the base class would take numbers too."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)
