"""The door of the pages: lets a person into a tenant, or answers with a page that helps.

Strangers get the same 404 as for an unknown tenant; a member whose role does not cover an act gets a 403
that says which roles do.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from ulid import ULID

from releases.domain.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from releases.services.queries.waiting import waiting_count
from tenants.access import Actor, NoAccess, NotAllowed, enter, tenants_of
from tenants.models import User
from tenants.roles import Capability

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Actor, P], HttpResponse]


def inside(view: View[P]) -> Callable[..., HttpResponse]:
    """The view gets an `Actor` in place of the tenant's slug."""

    @login_required
    @wraps(view)
    def entered(request: HttpRequest, tenant: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            actor = enter(tenant, user=cast(User, request.user))
        except NoAccess as error:
            raise Http404 from error
        actor = Actor(actor.tenant, actor.name, actor.role, user=actor.user, request_id=str(ULID()))
        try:
            response = view(request, actor, *args, **kwargs)
        except NotFound as error:
            raise Http404 from error
        except (NotAllowed, Forbidden) as error:
            return render(request, "403.html", {"said": str(error), "actor": actor}, status=403)
        patch_cache_control(response, no_store=True)
        return response

    return entered


def page(
    request: HttpRequest,
    actor: Actor,
    template: str,
    here: str,
    context: Mapping[str, Any],
    status: int = 200,
) -> HttpResponse:
    """Render a page with what its frame needs; `here` marks the place in the navigation."""
    if actor.user is None:
        raise TypeError("pages are for people, not for tokens")
    frame = {
        "actor": actor,
        "may": {capability.value: actor.may(capability) for capability in Capability},
        "tenant": actor.tenant,
        "memberships": tenants_of(actor.user),
        "here": here,
    }
    if "waiting_count" not in context:  # the inbox has counted already
        frame["waiting_count"] = waiting_count(actor)
    return render(request, template, {**frame, **context}, status=status)


def status_of(error: DomainError) -> int:
    """The status that a refused form answers with."""
    if isinstance(error, Conflict):
        return 409
    if isinstance(error, Invalid):
        return 422
    raise error


def said(request: HttpRequest, text: str) -> None:
    """Tell the person on the next page what was done."""
    messages.success(request, text)


def refused(request: HttpRequest, text: str) -> None:
    """Tell the person on the next page why nothing was done."""
    messages.error(request, text)
