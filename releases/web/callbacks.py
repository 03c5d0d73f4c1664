"""What a release tells outside: the panel that lives, and the button that sends again."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from releases.domain.errors import Conflict
from releases.services import commands
from releases.services.queries.callbacks import callbacks
from releases.web.door import inside, refused, said
from tenants.access import Actor


@require_safe
@inside
def panel(request: HttpRequest, actor: Actor, release_id: str) -> HttpResponse:
    """The panel alone, for htmx; whoever comes by hand is led to the page that it is a part of."""
    shown = callbacks(actor, release_id)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("web:release", actor.tenant.slug, release_id)
    context = {"callbacks": shown, "release": shown.release, "tenant": actor.tenant}
    return render(request, "releases/_callbacks.html", context)


@require_POST
@inside
def resend(request: HttpRequest, actor: Actor, release_id: str, number: int) -> HttpResponse:
    """Have it sent again now, and for another day."""
    try:
        sent = commands.resend(actor, release_id, number, at=timezone.now())
    except Conflict as error:
        refused(request, str(error))
    else:
        told = sent.transition.to_phase.replace("_", " ")
        said(request, f"The {sent.get_channel_display()} of {told} is sent again within two seconds.")
    return redirect("web:release", actor.tenant.slug, release_id)
