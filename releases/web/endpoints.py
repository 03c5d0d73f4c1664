"""What serves where; going back to the previous version; lifting a hold."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from releases.domain.errors import DomainError
from releases.models import Endpoint
from releases.services import commands, find
from releases.services.queries.endpoints import endpoints
from releases.web.confirmations import Confirmation
from releases.web.door import inside, page, said, status_of
from tenants.access import Actor
from tenants.roles import Capability


@require_safe
@inside
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All endpoints, by environment."""
    shown = endpoints(actor, timezone.now())
    return page(request, actor, "endpoints/list.html", "endpoints", {"page": shown})


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def go_back(request: HttpRequest, actor: Actor, environment: str, model: str) -> HttpResponse:
    """Return to the previous version, with a reason."""
    actor.require(Capability.OPERATE)
    endpoint = find.endpoint(actor, environment, model)
    error: DomainError | None = None
    if request.method == "POST":
        try:
            release = commands.return_to_previous(
                actor, environment, model, reason=request.POST.get("reason", ""), at=timezone.now()
            )
        except DomainError as refused:
            error = refused
        else:
            said(request, f"Going back to {release.version.version}.")
            return redirect("web:release", actor.tenant.slug, release.pk)
    return _ask(request, actor, _going_back(endpoint, actor), error)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def lift(request: HttpRequest, actor: Actor, environment: str, model: str) -> HttpResponse:
    """Lift the hold on a version, with a reason."""
    actor.require(Capability.OPERATE)
    endpoint = find.endpoint(actor, environment, model)
    version = request.GET.get("version", "").replace("\x00", "")[:128] or None
    error: DomainError | None = None
    if request.method == "POST":
        reason = request.POST.get("reason", "")
        try:
            commands.lift_hold(actor, environment, model, reason=reason, at=timezone.now(), version=version)
        except DomainError as refused:
            error = refused
        else:
            said(request, f"Hold lifted: {version or model} may be released to {environment} again.")
            return redirect("web:endpoints", actor.tenant.slug)
    return _ask(request, actor, _lifting(endpoint, version, actor), error)


def _ask(
    request: HttpRequest, actor: Actor, confirm: Confirmation, error: DomainError | None
) -> HttpResponse:
    context = {
        "confirm": confirm,
        "back": reverse("web:endpoints", args=[actor.tenant.slug]),
        "error": error,
        "reason": request.POST.get("reason", ""),
    }
    status = status_of(error) if error else 200
    return page(request, actor, "releases/confirm.html", "endpoints", context, status)


def _going_back(endpoint: Endpoint, actor: Actor) -> Confirmation:
    to = endpoint.previous.version if endpoint.previous else "the previous version"
    left = endpoint.stable.version if endpoint.stable else "what serves now"
    place = endpoint.environment.name
    return Confirmation(
        act="back",
        title=f"Go back to {endpoint.model.name} {to} in {place}?",
        text=f"All traffic goes from {left} to {to}, and {left} is put on hold in {place}. "
        "This is a release of its own, watched like the others, and stays in the record.",
        hint=f"What is wrong with {left}?",
        do=f"Go back to {to}",
        css="danger-solid",
        url=reverse("web:back", args=[actor.tenant.slug, place, endpoint.model.name]),
    )


def _lifting(endpoint: Endpoint, version: str | None, actor: Actor) -> Confirmation:
    what = f"{endpoint.model.name} {version}" if version else endpoint.model.name
    place = endpoint.environment.name
    url = reverse("web:lift", args=[actor.tenant.slug, place, endpoint.model.name])
    return Confirmation(
        act="lift",
        title=f"Lift the hold on {what} in {place}?",
        text=f"Whoever may file releases can then release it to {place} again.",
        hint="What has changed since?",
        do="Lift the hold",
        css="danger-solid",
        url=f"{url}?version={version}" if version else url,
    )
