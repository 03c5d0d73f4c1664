"""The connection of an environment to a cluster: its form, and the question before it is given up."""

from collections.abc import Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from releases.domain.connection import KubernetesConnection
from releases.domain.errors import DomainError, Invalid
from releases.models import KubernetesPlace
from releases.services import commands
from releases.services.commands.place_changes import NOWHERE
from releases.services.queries.environments import environment_page, place_of
from releases.web.door import inside, page, said, status_of
from releases.web.place_drafts import Draft, Input, filled_draft, read_draft
from releases.web.place_inputs import connection_inputs
from tenants.access import Actor
from tenants.roles import Capability


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def connection(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Connect an environment to a namespace of a cluster, or change how."""
    actor.require(Capability.ADMINISTER)
    shown = environment_page(actor, name, timezone.now())
    clusters = sorted({*settings.KUBERNETES_CLUSTERS, *([shown.place.cluster] if shown.place else [])})
    inputs = connection_inputs([(cluster, cluster) for cluster in clusters])
    error: DomainError | None = None
    if request.method == "POST":
        draft = read_draft(inputs, KubernetesConnection, request.POST)
        if draft.value is not None:
            try:
                commands.connect(
                    actor,
                    name,
                    draft.value,
                    clusters=settings.KUBERNETES_CLUSTERS,
                    hosts=settings.KUBERNETES_HOSTS,
                    at=timezone.now(),
                )
            except DomainError as refused:
                error, draft = refused, draft.refused(refused)
            else:
                said(request, "Saved. The workers test the connection now.")
                return redirect("web:environment", actor.tenant.slug, name)
        error = error or Invalid("Look at the fields that are marked.")
    else:
        draft = _connection_draft(inputs, shown.place, clusters)
    context = {
        "page": shown,
        "environment": shown.environment,
        "place": shown.place,
        "draft": draft,
        "clusters": clusters,
        "error": error,
    }
    status = status_of(error) if error else 200
    return page(request, actor, "environments/connection.html", "environments", context, status)


def _connection_draft(
    inputs: Sequence[Input], place: KubernetesPlace | None, clusters: list[str]
) -> Draft[KubernetesConnection]:
    if place is not None:
        return filled_draft(inputs, place.connection)
    defaults = {name: one.default for name, one in KubernetesConnection.__dataclass_fields__.items()}
    given = {**defaults, **NOWHERE, "cluster": clusters[0] if clusters else ""}
    return Draft(inputs, {one.name: one.written(given[one.name]) for one in inputs})


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def disconnect(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Let an environment serve on the portal's own machine again, after a question."""
    actor.require(Capability.ADMINISTER)
    environment, place = place_of(actor, name)
    if place is None:
        return redirect("web:environment", actor.tenant.slug, name)
    error: DomainError | None = None
    if request.method == "POST":
        try:
            commands.disconnect(actor, name, at=timezone.now())
        except DomainError as refused:
            error = refused
        else:
            said(request, f"{name} is not connected to a cluster any more.")
            return redirect("web:environment", actor.tenant.slug, name)
    context = {"environment": environment, "place": place, "error": error}
    status = status_of(error) if error else 200
    return page(request, actor, "environments/disconnect.html", "environments", context, status)
