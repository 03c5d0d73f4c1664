"""The list of releases and the page of one, which is its own live fragment as well."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from releases.domain.release import BEFORE_TRAFFIC
from releases.services.queries.release import release_page
from releases.services.queries.releases import list_releases
from releases.web.confirmations import confirmations
from releases.web.door import inside, page
from tenants.access import Actor

STOP_POLLING = 286  # htmx asks no more


@require_safe
@inside
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All releases of the tenant, newest first."""
    listing = list_releases(actor, request.GET.dict())
    return page(request, actor, "releases/list.html", "releases", {"listing": listing})


@require_safe
@inside
def show(request: HttpRequest, actor: Actor, release_id: str) -> HttpResponse:
    """The page of a release; to htmx the parts of it that live."""
    now = timezone.now()
    shown = release_page(actor, release_id, now)
    context = {"page": shown, "release": shown.release, "now": now}
    if not request.htmx:  # type: ignore[attr-defined]
        context["confirmations"] = [] if shown.has_ended else confirmations(actor, shown.release)
        return page(request, actor, "releases/release.html", "releases", context)
    context |= {"actor": actor, "tenant": actor.tenant, "is_fragment": True}
    seen = request.GET.get("seen", "")
    context["has_changed"] = seen != shown.seen
    context["brings_charts"] = shown.shows_charts and seen.partition("-")[0] in BEFORE_TRAFFIC
    status = STOP_POLLING if shown.has_ended else 200
    return render(request, "releases/live.html", context, status=status)
