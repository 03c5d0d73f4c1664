"""What people do to a release: acts with a reason, and the decision of an approver.

Each has a page of its own with the form; on the release's page the same form opens as a dialog.
"""

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from releases.domain.errors import DomainError
from releases.domain.release import BEFORE_TRAFFIC, Act
from releases.models import Release
from releases.services import commands, find
from releases.services.queries.waiting import decided_by, waiting
from releases.web.door import inside, page, said, status_of
from tenants.access import Actor
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The words of one confirmation, and where its form goes."""

    act: str
    title: str
    text: str
    hint: str
    do: str
    css: str
    url: str
    done: str = ""


def confirmation(release: Release, act: Act) -> Confirmation:
    """What an act means for this release, in words."""
    name, stable = release.version.version, release.stable.version if release.stable else None
    what = f"{release.endpoint.model.name} {name}"
    url = reverse("web:act", args=[release.tenant.slug, release.pk, act.value])
    split = f"{100 - release.split_candidate} / {release.split_candidate}"
    back = f"All traffic goes back to {stable} first" if stable else "No version serves afterwards"
    if act is Act.PAUSE:
        text = (
            f"The split stays at {split} and the hold stands still. "
            "The judge keeps watching and rolls back if it finds harm."
        )
        return Confirmation(
            "pause",
            f"Pause the canary of {what}?",
            text,
            "What are you waiting for?",
            "Pause",
            "primary",
            url,
            "Pause is asked for.",
        )
    if act is Act.RESUME:
        text = "The hold goes on from where it stood, and the release moves by itself again."
        return Confirmation(
            "resume",
            f"Resume the canary of {what}?",
            text,
            "What has changed?",
            "Resume",
            "primary",
            url,
            "Resuming is asked for.",
        )
    if act is Act.PROMOTE:
        text = (
            "What is left of this step's hold is skipped, and so is the certificate. Harm still rolls back."
        )
        return Confirmation(
            "promote",
            f"Promote {what} without waiting?",
            text,
            "Why not wait?",
            "Promote now",
            "danger-solid",
            url,
            "Promotion is asked for.",
        )
    if release.phase in BEFORE_TRAFFIC:
        text = "It ends as cancelled. No traffic has moved, nothing has to be undone."
        return Confirmation(
            "abort",
            f"Withdraw {what}?",
            text,
            "Why is it no longer wanted?",
            "Withdraw",
            "danger-solid",
            url,
            "Withdrawing is asked for.",
        )
    place = release.endpoint.environment.name
    text = f"{back}; then {name} is removed after its grace time and put on hold in {place}."
    return Confirmation(
        "abort",
        "Abort and roll back" + (f" to {stable}?" if stable else "?"),
        text,
        "What did you see?",
        f"Roll back to {stable}" if stable else "Abort",
        "danger-solid",
        url,
        "The rollback is asked for.",
    )


def confirmations(actor: Actor, release: Release) -> list[Confirmation]:
    """The dialogs that this person may need while looking at the release."""
    if actor.may(Capability.OPERATE):
        return [confirmation(release, act) for act in Act]
    if actor.identity == release.requested_by_identity:
        return [confirmation(release, Act.ABORT)]
    return []


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def act(request: HttpRequest, actor: Actor, release_id: str, word: str) -> HttpResponse:
    """Ask for an act, with a reason."""
    if word not in Act:
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
    context = {"error": error, "comment": request.POST.get("comment", ""), "release": release, "back": shown}
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
