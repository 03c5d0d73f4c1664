"""The page of a new release: one form that works without script.

Every button sends the whole form; only "File the release" files, the others show it anew.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from releases.domain.errors import DomainError
from releases.domain.forecast import Forecast, headline
from releases.domain.plan import RolloutPlan
from releases.services import commands, forecasts
from releases.services.queries.new_release import Offer, offer
from releases.web.door import inside, page, said, status_of
from releases.web.drafts import Draft, preset_plan
from tenants.access import Actor
from tenants.roles import Capability


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the form, change it, or file it."""
    actor.require(Capability.REQUEST)
    if request.method != "POST":
        asked = request.GET
        draft = Draft(
            model=asked.get("model", ""),
            environment=asked.get("environment", ""),
            version=asked.get("version", ""),
        )
        offered = offer(actor, draft.model, draft.environment, draft.version)
        return _form(request, actor, draft.filled(_default(offered), "default"), offered)
    draft = Draft.read(request.POST)
    wanted = request.POST.get("do", "")
    offered = offer(actor, draft.model, draft.environment, draft.version)
    if wanted == "file":
        return _file(request, actor, draft, offered)
    return _form(request, actor, _changed(draft, wanted, offered), offered)


def _changed(draft: Draft, wanted: str, offered: Offer) -> Draft:
    """What a button other than the last one does."""
    if wanted == "add":
        return draft.with_step()
    if wanted.startswith("remove-") and wanted.removeprefix("remove-").isdecimal():
        return draft.without_step(int(wanted.removeprefix("remove-")))
    if wanted == "preset" and draft.preset != "own":
        return draft.filled(preset_plan(draft.preset, _default(offered)), draft.preset)
    change, _, value = wanted.partition("-")
    if change in ("weight", "wait") and value.isdecimal():
        return draft.with_proposal(change, value)
    if wanted == "place":  # another environment has other defaults
        return draft.filled(_default(offered), "default")
    return draft


def _file(request: HttpRequest, actor: Actor, draft: Draft, offered: Offer) -> HttpResponse:
    try:
        release, _ = commands.file_release(
            actor,
            model=draft.model,
            version=draft.version,
            environment=draft.environment,
            plan=draft.plan(),
            note=draft.note,
            at=timezone.now(),
        )
    except DomainError as error:
        return _form(request, actor, draft.refused(error), offered, status_of(error))
    said(request, f"Filed: {draft.model} {draft.version} to {draft.environment}. Validation begins now.")
    return redirect("web:release", actor.tenant.slug, release.pk)


def _default(offered: Offer) -> RolloutPlan:
    return offered.environment.plan() if offered.environment else RolloutPlan()


def _forecast(draft: Draft, offered: Offer) -> Forecast | None:
    """What the plan in the form would take; None while it is no valid plan."""
    if offered.environment is None:
        return None
    try:
        plan = offered.environment.plan(draft.plan())
    except DomainError:
        return None
    return forecasts.of_plan(offered.endpoint, plan, timezone.now())


def _form(
    request: HttpRequest, actor: Actor, draft: Draft, offered: Offer, status: int = 200
) -> HttpResponse:
    default = _default(offered)
    presets = [
        (name, word, preset_plan(name, default).describe())
        for name, word in (("default", "Default"), ("careful", "Careful"), ("shadow", "Shadow first"))
    ]
    found = _forecast(draft, offered)
    context: dict[str, Any] = {
        "draft": draft,
        "offer": offered,
        "presets": presets,
        "forecast": found,
        "headline": found and headline(found),
    }
    return page(request, actor, "releases/new.html", "releases", context, status)
