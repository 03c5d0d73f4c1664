"""What all views inside a tenant share: the door, the capability, the number of the request."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from django.utils import timezone
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet
from ulid import ULID

from releases.api.throttling import CallerThrottle
from tenants import access
from tenants.models import ApiToken, User
from tenants.roles import Capability

Content = TypeVar("Content", bound=serializers.Serializer[Any])
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TenantViewSet(ViewSet):
    """A view below `tenants/{tenant}/`; strangers see the same 404 as for a tenant that does not exist.

    `capabilities` says for each action that writes what it takes, so that a role is refused before its
    body is read; the commands check again."""

    throttle_classes = [CallerThrottle]
    capabilities: ClassVar[Mapping[str, Capability]] = {}
    actor: access.Actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, count, enter the tenant, check the role; in this order."""
        super().initial(request, *args, **kwargs)
        actor = access.enter(
            kwargs["tenant"],
            user=request.user if isinstance(request.user, User) else None,
            token=request.auth if isinstance(request.auth, ApiToken) else None,
        )
        self.actor = replace(actor, request_id=request_id(request))
        if request.method in SAFE_METHODS:
            self.actor.require(Capability.VIEW)
        elif self.action:  # none: a method that this address does not have, answered 405
            self.actor.require(self.capabilities[self.action])

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Say which request this was, and keep other people's answers out of caches."""
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "no-store")
        if hasattr(self, "actor"):
            answer.headers["X-Request-Id"] = self.actor.request_id
        return answer

    def content(self, form: type[Content]) -> dict[str, Any]:
        """The validated body."""
        return _validated(form(data=self.request.data))

    def query(self, form: type[Content]) -> dict[str, Any]:
        """The validated query, without what belongs to the pagination; an empty filter is none."""
        asked = self.request.query_params.items()
        given = {name: text for name, text in asked if text and name not in PAGING}
        return _validated(form(data=given))

    def now(self) -> datetime:
        """The time of this request."""
        return timezone.now()


PAGING = frozenset({"cursor", "limit"})


def request_id(request: Request) -> str:
    """The caller's own number for the request, if it is fit to be kept; a new one otherwise."""
    given = request.headers.get("X-Request-Id", "")
    return given if REQUEST_ID.fullmatch(given) else str(ULID())


def _validated(form: serializers.Serializer[Any]) -> dict[str, Any]:
    form.is_valid(raise_exception=True)
    content: dict[str, Any] = form.validated_data
    return content
