"""How drf-spectacular describes this API where its own reading would promise too much or too little.

The library has no types of its own, hence the ignored calls.
"""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from releases.api.fields import Text


class Description(AutoSchema):
    """Says what is refused, so that whoever writes a client from the document sees it before we do."""

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        schema = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # drf-spectacular has no types there
        if getattr(serializer, "closed", False):
            schema["additionalProperties"] = False
        return schema

    def _map_serializer_field(self, field: Any, direction: Any, bypass_extensions: bool = False) -> Any:
        schema = super()._map_serializer_field(field, direction, bypass_extensions)  # type: ignore[no-untyped-call]  # drf-spectacular has no types there
        if isinstance(field, Text) and not field.allow_blank:
            schema.setdefault("pattern", r"\S")  # spaces alone say nothing
        return schema

    def _get_request_body(self, direction: Any = "request") -> Any:
        """A DELETE that says why has a body; OpenAPI 3.1 allows it, the base class leaves it out."""
        if self.method != "DELETE":
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]  # drf-spectacular has no types there
        self.method = "POST"
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]  # drf-spectacular has no types there
        finally:
            self.method = "DELETE"
