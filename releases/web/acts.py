"""What people do to a release: acts with a reason, and the decision of an approver.

Each has a page of its own with the form; on the release's page the same form opens as a dialog.
"""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from releases.domain.errors import DomainError
from releases.domain.release import Act
from releases.services import commands, find
from releases.services.queries.waiting import decided_by, waiting
from releases.web.confirmations import confirmation
from releases.web.door import inside, page, said, status_of
from tenants.access import Actor
from tenants.roles import Capability


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def act(request: HttpRequest, actor: Actor, release_id: str, word: str) -> HttpResponse:
    """Ask for an act, with a reason."""
    if word not in [act.value for act in Act]:
        raise Http404
    wanted = Act(word)
    release = find.release(actor, release_id)
    confirm = confirmation(release, wanted)
    back = reverse("web:release", args=[actor.tenant.slug, release.pk])
    error: DomainError | None = None
    if request.method == "POST":
        try:
            commands.act(actor, release_id, wanted, request.POST.get("reason", ""), at=timezone.now())
        except DomainError as refused:
            error, status = refused, status_of(refused)
        else:
            said(request, f"{confirm.done} The workers take it up within a second.")
            return redirect(back)
    elif (why_not := commands.allowed_acts(actor, release)[word]) and not actor.may(Capability.OPERATE):
        return page(
            request,
            actor,
            "releases/not_now.html",
            "releases",
            {"release": release, "why": why_not, "back": back},
            status=403,
        )
    context = {
        "confirm": confirm,
        "back": back,
        "error": error,
        "reason": request.POST.get("reason", ""),
        "release": release,
    }
    return page(request, actor, "releases/confirm.html", "releases", context, status if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def decide(request: HttpRequest, actor: Actor, release_id: str) -> HttpResponse:
    """Approve or reject. From the inbox (`from=inbox`) a refusal is shown in the inbox, else here."""
    actor.require(Capability.APPROVE)
    release = find.release(actor, release_id)
    from_inbox = request.POST.get("from") == "inbox"
    shown = reverse("web:release", args=[actor.tenant.slug, release.pk])
    error: DomainError | None = None
    status = 200
    if request.method == "POST":
        approve = request.POST.get("decision") == "approve"
        seen = request.POST.get("row_version", "")
        try:
            commands.decide_approval(
                actor,
                release_id,
                approve=approve,
                comment=request.POST.get("comment", ""),
                at=timezone.now(),
                row_version=int(seen) if seen.isdecimal() else None,
            )
        except DomainError as refused:
            error, status = refused, status_of(refused)
        else:
            name = f"{release.endpoint.model.name} {release.version.version}"
            said(
                request,
                f"{'Approved' if approve else 'Rejected'}: {name} in {release.endpoint.environment.name}.",
            )
            return redirect(reverse("web:approvals", args=[actor.tenant.slug]) if from_inbox else shown)
    context: dict[str, object] = {
        "error": error,
        "comment": request.POST.get("comment", ""),
        "release": release,
        "back": shown,
    }
    if from_inbox:
        context |= _inbox(actor, refused_id=release.pk)
        return page(request, actor, "releases/approvals.html", "approvals", context, status)
    context["why_not_decide"] = commands.allowed_acts(actor, release)["approve"]
    return page(request, actor, "releases/decide.html", "approvals", context, status)


@require_http_methods(["GET", "HEAD"])
@inside
def approvals(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The inbox: everything that waits, with its evidence."""
    return page(request, actor, "releases/approvals.html", "approvals", _inbox(actor))


def _inbox(actor: Actor, refused_id: str | None = None) -> dict[str, object]:
    """What the inbox shows; `refused_id` is the release whose decision was just refused."""
    items = waiting(actor)
    mine = [item for item in items if item.refusal is None]
    return {
        "items": mine,
        "others": [item for item in items if item.refusal is not None],
        "waiting_count": len(mine),
        "decided": decided_by(actor),
        "refused_id": refused_id,
        "refused_is_shown": any(item.release.pk == refused_id for item in mine),
    }
