"""The overview of a tenant; to htmx its live rows only."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from releases.services.queries.overview import active_rows, overview
from releases.web.door import inside, page
from tenants.access import Actor


@require_safe
@inside
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """What rolls out, what waits, what ended badly, health."""
    now = timezone.now()
    if request.htmx:  # type: ignore[attr-defined]
        context = {"rows": active_rows(actor, now), "tenant": actor.tenant}
        return render(request, "releases/_active.html", context)
    shown = overview(actor, now)
    return page(request, actor, "releases/overview.html", "overview", {"page": shown, "rows": shown.active})
