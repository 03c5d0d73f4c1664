"""Acts on a tenant's traffic keys: make another one, retire one. They are shown on the Traffic page."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from releases.domain.errors import DomainError
from releases.services import commands
from releases.services.queries.traffic_keys import living_keys
from releases.web.confirmations import Confirmation
from releases.web.door import inside, page, refused, said, status_of
from tenants.access import Actor
from tenants.roles import Capability


@require_POST
@inside
def make(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Another key, at once: it takes nothing away from anybody."""
    try:
        key = commands.make_traffic_key(actor, at=timezone.now())
    except DomainError as error:
        refused(request, f"No key was made. {error}")
    else:
        said(request, f"Traffic key {key.sequence} is made. The gateway knows it within seconds.")
    return redirect("web:traffic", actor.tenant.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def retire(request: HttpRequest, actor: Actor, sequence: int) -> HttpResponse:
    """The end of a key, with a reason."""
    actor.require(Capability.ADMINISTER)
    if sequence not in [key.sequence for key in living_keys(actor)]:
        raise Http404
    error: DomainError | None = None
    if request.method == "POST":
        reason = request.POST.get("reason", "")
        try:
            commands.retire_traffic_key(actor, sequence, reason=reason, at=timezone.now())
        except DomainError as caught:
            error = caught
        else:
            said(request, f"Traffic key {sequence} is retired. It opens nothing any more within seconds.")
            return redirect("web:traffic", actor.tenant.slug)
    context = {
        "confirm": _retiring(actor, sequence),
        "back": reverse("web:traffic", args=[actor.tenant.slug]),
        "error": error,
        "reason": request.POST.get("reason", ""),
    }
    status = status_of(error) if error else 200
    return page(request, actor, "releases/confirm.html", "traffic", context, status)


def _retiring(actor: Actor, sequence: int) -> Confirmation:
    return Confirmation(
        act="retire",
        title=f"Retire traffic key {sequence}?",
        text=f"Callers of {actor.tenant.name} who still send it are answered 401 within seconds. "
        "It cannot be brought back; the other keys go on opening the door.",
        hint="Who has stopped using it, or who has it who should not?",
        do=f"Retire key {sequence}",
        css="danger-solid",
        url=reverse("web:retire-traffic-key", args=[actor.tenant.slug, sequence]),
    )
