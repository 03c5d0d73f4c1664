"""Lists: `{"next", "previous", "results"}`, walked with a cursor that stays right while rows are added."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as FieldError
from django.db.models import Field, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.parsing import is_storable

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 200


class Pages(CursorPagination):
    """`?limit=` and `?cursor=`; what is not valid is refused, not guessed."""

    page_size = DEFAULT_LIMIT
    max_page_size = LARGEST_LIMIT
    page_size_query_param = "limit"
    request: Request
    _column: "Field[Any, Any]"

    def __init__(self, *ordering: str) -> None:
        self.ordering = ordering  # the first has to be unique, or nearly so

    def get_page_size(self, request: Request) -> int:
        """The number of results wanted."""
        text = request.query_params.get("limit")
        if text is None:
            return DEFAULT_LIMIT
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_LIMIT):
            raise ValidationError({"limit": [f"has to be a whole number from 1 to {LARGEST_LIMIT}"]})
        return int(text)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Where the page begins; None at the start."""
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise _bad_cursor() from error
        if cursor is not None and cursor.position is not None:
            self._check(str(cursor.position))
        return cursor

    def _check(self, position: str) -> None:
        """The position has to be a value of the column that the list is ordered by."""
        try:
            value = self._column.to_python(position)
        except FieldError as error:
            raise _bad_cursor() from error
        if not is_storable(position) or (isinstance(value, datetime) and value.tzinfo is None):
            raise _bad_cursor()

    def answer(
        self,
        request: Request,
        rows: QuerySet[Any],
        describe: Callable[[list[Any]], Iterable[object]],
    ) -> Response:
        """The answer with one page of `rows`, each as `describe` makes it of the whole page."""
        self._column = rows.model._meta.get_field(self.ordering[0].lstrip("-"))
        found = self.paginate_queryset(rows, request)
        return self.get_paginated_response(list(describe(list(found or []))))

    def encode_cursor(self, cursor: Cursor) -> str:
        """The address of another page; on the portal's public address, like all links."""
        self.base_url = settings.PORTAL_URL + self.request.get_full_path()
        return super().encode_cursor(cursor)


def _bad_cursor() -> ValidationError:
    return ValidationError({"cursor": ["is not one that this list has given"]})
