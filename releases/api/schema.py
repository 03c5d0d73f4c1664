"""The OpenAPI document: how operations are described, and the page that shows it."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_serializer,
)
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers

from releases.api.answers import ProblemSerializer
from releases.api.examples import PROBLEM
from releases.api.pagination import DEFAULT_LIMIT, LARGEST_LIMIT
from releases.api.problems import CONTENT_TYPE

Form = type[serializers.Serializer[Any]]
Answers = dict[Any, Any]
View = TypeVar("View", bound=Callable[..., Any])

READ = {401: "No token, or a bad one.", 403: "Your role may not.", 404: "Unknown, or not yours."}
LIMITED = {422: "The content is not valid.", 429: "Too many requests; see Retry-After."}
CONFLICT = {409: "Not possible in the present state, which is in `state`."}
WRITTEN = {
    400: "The body is not JSON.",
    413: "The body is too large.",
    415: "Not sent as JSON.",
}

PAGING = (
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT},
        description=f"1 to {LARGEST_LIMIT}; {DEFAULT_LIMIT} unless told.",
    ),
    OpenApiParameter("cursor", str, description="From `next` or `previous` of another page."),
)


def described(
    operation: str,
    answer: Form | OpenApiTypes | None,
    *,
    summary: str,
    status: int | tuple[int, str] = 200,
    form: Form | None = None,
    parameters: Sequence[Any] = (),
    more: Answers | None = None,
) -> Callable[[View], View]:
    """Describe an operation. `form` is its body: with one it writes, and may be in conflict. `status` says
    the media type too where an answer is not JSON."""
    errors = {**READ, **LIMITED, **({**WRITTEN, **CONFLICT} if form else {})}
    answers: Answers = {status: answer, **(more or {})}
    for code, text in sorted(errors.items()):
        examples = [OpenApiExample("Example", value=PROBLEM)] if code == HTTPStatus.CONFLICT else []
        answers[code, CONTENT_TYPE] = OpenApiResponse(ProblemSerializer, description=text, examples=examples)
    return extend_schema(
        operation_id=operation,
        summary=summary,
        request=form,
        parameters=list(parameters),
        responses=answers,
        tags=[operation.split("_")[-1]],
    )


def listed(
    operation: str, answer: Form, *, summary: str, parameters: Sequence[Any] = ()
) -> Callable[[View], View]:
    """Describe a list that is read page by page."""
    return described(operation, page_of(answer), summary=summary, parameters=[*parameters, *PAGING])


def page_of(answer: Form) -> Form:
    """The shape of one page."""
    fields = {
        "__doc__": "One page of a list.",
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": answer(many=True),
    }
    page = type(answer.__name__.replace("Serializer", "PageSerializer"), (serializers.Serializer,), fields)
    return extend_schema_serializer(many=False)(page)


def header(name: str, description: str, **schema: Any) -> OpenApiParameter:
    """A header of the request, a text; `schema` says what it may be."""
    of = {"type": "string", **schema}
    return OpenApiParameter(name, of, OpenApiParameter.HEADER, description=description)


class DocsView(SpectacularSwaggerSplitView):
    """The document as a page; its own script comes from this address too, because the portal's
    Content-Security-Policy allows no inline script."""

    url_name = "api:schema"
    template_name = "api/docs.html"
