"""Every error as one shape: an RFC 9457 problem document.

The only place that turns exceptions into HTTP. What the caller cannot mend is logged with its traceback
and answered without it.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.utils.encoders import JSONEncoder

from releases.domain.errors import Conflict, DomainError, Forbidden, NotFound
from releases.ports import AdapterError, Unreachable
from tenants.access import NoAccess, NotAllowed

CONTENT_TYPE = "application/problem+json"
UNKNOWN = "There is no such thing here, or it is not yours."
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """What goes wrong on its way to the caller; `state` is what stands in the way of a 409."""

    status: int
    code: str
    detail: str
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    state: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document; members in the order of the API's description."""
        document = {
            "type": f"urn:mlops-portal:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": dict(self.errors),
        }
        return document if self.status != HTTPStatus.CONFLICT else {**document, "state": self.state}

    def response(self) -> HttpResponse:
        """The answer. ASCII, so that no text that came in can keep it from going out."""
        body = json.dumps(self.to_json(), cls=JSONEncoder)
        headers = {"Cache-Control": "no-store", **self.headers}
        return HttpResponse(body, status=self.status, content_type=CONTENT_TYPE, headers=headers)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """What Django REST framework calls for every exception of a view."""
    problem = describe(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        request = context.get("request")
        where = f"{request.method} {request.path}" if request is not None else "?"
        log.error("%s answered %s", where, problem.status, exc_info=error)
    return problem.response()


def describe(error: Exception) -> Problem:
    """The problem that an exception is."""
    if isinstance(error, DomainError):
        return _of_domain(error)
    if isinstance(error, NoAccess):
        return Problem(404, "not_found", UNKNOWN)
    if isinstance(error, NotAllowed):
        return Problem(403, "not_allowed", str(error))
    if isinstance(error, Unreachable):
        return Problem(503, "unreachable", str(error), headers=_retry_after(error.retry_after))
    if isinstance(error, AdapterError):
        return Problem(422, "refused", str(error))
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    return _of_django(error)


def _of_domain(error: DomainError) -> Problem:
    if isinstance(error, Conflict):
        return Problem(409, error.code, str(error), error.fields, state=error.state)
    status = {NotFound: 404, Forbidden: 403}.get(type(error), 422)
    return Problem(status, error.code, str(error), error.fields)


def _of_framework(error: exceptions.APIException) -> Problem:
    if isinstance(error, exceptions.ValidationError):
        errors = dict(flatten(error.detail))
        path, messages = next(iter(errors.items()), ("", ["The content is not valid."]))
        return Problem(422, "invalid", f"{path}: {messages[0]}".removeprefix(": "), errors)
    headers = {}
    if isinstance(error, exceptions.Throttled):
        headers = _retry_after(getattr(error, "wait", None) or 1)
    if challenge := getattr(error, "auth_header", None):
        headers = {"WWW-Authenticate": challenge}
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    return Problem(error.status_code, code, str(error.detail), headers=headers)


def _of_django(error: Exception) -> Problem:
    if isinstance(error, Http404):
        return Problem(404, "not_found", UNKNOWN)
    if isinstance(error, PermissionDenied):
        return Problem(403, "permission_denied", "You may not do this.")
    if isinstance(error, RequestDataTooBig):
        return Problem(413, "too_large", "The body of the request is too large.")
    if isinstance(error, SuspiciousOperation):
        return Problem(400, "bad_request", "The request is malformed.")
    if isinstance(error, OperationalError | InterfaceError):
        return Problem(503, "database_unreachable", "The database does not answer.", headers=_retry_after(2))
    return Problem(500, "internal_error", "Something broke in the portal; it has been logged.")


def flatten(detail: Any, path: str = "") -> list[tuple[str, list[str]]]:
    """Nested validation errors as (dotted path, messages); what concerns no field is named `body`."""
    if isinstance(detail, Mapping):
        found = []
        for name, inner in detail.items():
            here = path if name == "non_field_errors" else f"{path}.{name}".lstrip(".")
            found += flatten(inner, here)
        return found
    if isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        return [pair for i, item in enumerate(detail) for pair in flatten(item, f"{path}.{i}".lstrip("."))]
    messages = detail if isinstance(detail, list) else [detail]
    return [(path or "body", [str(message) for message in messages])] if messages else []


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
