"""The pages of models and versions; adding a model."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from releases.domain.errors import DomainError
from releases.services import commands
from releases.services.queries.catalog import model_page, model_rows, version_page
from releases.web.door import inside, page, refused, said, status_of
from tenants.access import Actor
from tenants.roles import Capability

MODEL_FIELDS = ("name", "registry_name", "description")


@require_safe
@inside
def models(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All models of the tenant."""
    return page(request, actor, "models/list.html", "models", {"rows": model_rows(actor)})


@require_safe
@inside
def model(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """One model: its versions in semantic order, and where they serve."""
    shown = model_page(actor, name, timezone.now())
    return page(request, actor, "models/model.html", "models", {"page": shown, "model": shown.model})


@require_safe
@inside
def version(request: HttpRequest, actor: Actor, name: str, text: str) -> HttpResponse:
    """One version: what it changed, where it came from, where it serves, its releases."""
    shown = version_page(actor, name, text)
    context = {"page": shown, "version": shown.version, "model": shown.version.model}
    return page(request, actor, "models/version.html", "models", context)


@require_POST
@inside
def compose(request: HttpRequest, actor: Actor, name: str, text: str) -> HttpResponse:
    """Have the version composed again with a newer version of one member."""
    given = {key: request.POST.get(key, "").replace("\x00", "")[:200] for key in ("member", "newer")}
    try:
        asked = commands.compose_newer(actor, name, text, at=timezone.now(), **given)
    except DomainError as error:
        status_of(error)
        refused(request, f"Nothing was done. {error}")
    else:
        said(request, f"{asked.base} is being composed with {asked.newer}.")
    return redirect("web:version", actor.tenant.slug, name, text)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def add(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Make a model of the registry known to the tenant."""
    actor.require(Capability.REQUEST)
    given = {name: request.POST.get(name, "").strip() for name in MODEL_FIELDS}
    context: dict[str, object] = {"given": given, "errors": {}, "error": None}
    status = 200
    if request.method == "POST":
        try:
            added = commands.add_model(actor, at=timezone.now(), **given)
        except DomainError as error:
            status = status_of(error)
            context |= {"errors": error.fields, "error": error}
        else:
            said(
                request, f"{added.name} is known now. Its versions are read from the registry within seconds."
            )
            return redirect("web:model", actor.tenant.slug, added.name)
    return page(request, actor, "models/add.html", "models", context, status)
