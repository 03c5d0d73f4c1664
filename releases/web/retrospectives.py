"""What a plan would have said of the last releases: a page of its own, and a part of the form's page.

The plan is the one in the form of a new release when that is sent, else the environment's default.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from releases.domain.errors import Invalid
from releases.services import find
from releases.services.retrospective import look_back
from releases.web.door import inside, page, status_of
from releases.web.drafts import Draft
from tenants.access import Actor


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def look(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Look back; nothing is changed, so whoever may read may ask."""
    sent = request.POST if request.method == "POST" else request.GET
    draft = Draft.read(sent)
    endpoint = find.endpoint(actor, draft.environment, draft.model)
    context: dict[str, Any] = {"endpoint": endpoint, "is_of_form": request.method == "POST"}
    status = 200
    try:
        plan = endpoint.environment.plan(draft.plan() if request.method == "POST" else None)
        context["looked"] = look_back(endpoint, plan)
    except Invalid as error:
        context["refused"], status = str(error), status_of(error)
    if request.htmx:  # type: ignore[attr-defined]
        # htmx leaves out answers of another status.
        return render(request, "releases/_retrospective.html", {**context, "tenant": actor.tenant})
    here = "releases" if request.method == "POST" else "endpoints"
    return page(request, actor, "releases/retrospective.html", here, context, status)
