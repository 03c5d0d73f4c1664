"""The Traffic page: the mapping as a table, the change of it before it is written, and the tester.

A change goes three ways through one address: laid over the table (`edit`), shown as a difference (`review`),
written (`save`), and only what was shown is written.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from releases.domain.errors import DomainError
from releases.domain.traffic import TIERS
from releases.models import Environment, Service
from releases.services import commands, find
from releases.services.callers import Entry, entry_of, service_path
from releases.services.commands.traffic import WantedMapping
from releases.services.queries.traffic import TrafficTable, environments, mappings, traffic_table
from releases.services.queries.traffic_effect import standstill
from releases.services.queries.traffic_keys import shown_keys
from releases.services.queries.traffic_routes import route_diff
from releases.services.queries.traffic_tester import Request, way_of
from releases.web.confirmations import Confirmation
from releases.web.door import inside, page, said, status_of
from releases.web.mapping_drafts import read_draft
from tenants.access import Actor
from tenants.roles import Capability


@require_safe
@inside
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The mapping in one environment, and where a request goes by it."""
    places = environments(actor)
    name = request.GET.get("environment", "").replace("\x00", "")
    place = find.environment(actor, name) if name else next(iter(places), None)
    return _table(request, actor, places, place)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def change(request: HttpRequest, actor: Actor, environment: str) -> HttpResponse:
    """What a draft of the table changes: shown, and written when it has been seen."""
    actor.require(Capability.ADMINISTER)
    place = find.environment(actor, environment)
    if request.method != "POST":
        return redirect(_address(actor, place))
    draft = read_draft(request.POST)
    wanted = request.POST.get("do", "")
    if wanted == "save":
        return _save(request, actor, place, draft)
    if wanted == "edit":
        return _table(request, actor, environments(actor), place, draft)
    return _review(request, actor, place, draft)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def add(request: HttpRequest, actor: Actor) -> HttpResponse:
    """A service more."""
    actor.require(Capability.ADMINISTER)
    name = request.POST.get("name", "").strip()
    context: dict[str, object] = {"name": name, "error": None}
    status = 200
    if request.method == "POST":
        try:
            commands.add_service(actor, name=name, at=timezone.now())
        except DomainError as error:
            context["error"], status = error, status_of(error)
        else:
            said(request, f"{name} is a service now. It answers nobody before it has a model.")
            return redirect("web:traffic", actor.tenant.slug)
    return page(request, actor, "traffic/add.html", "traffic", context, status)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def remove(request: HttpRequest, actor: Actor, service: str) -> HttpResponse:
    """Take a service away, with a reason."""
    actor.require(Capability.ADMINISTER)
    row = find.service(actor, service)
    error: DomainError | None = None
    if request.method == "POST":
        reason = request.POST.get("reason", "")
        try:
            commands.remove_service(actor, service, reason=reason, at=timezone.now())
        except DomainError as refused:
            error = refused
        else:
            said(request, f"{service} is no service any more.")
            return redirect("web:traffic", actor.tenant.slug)
    context = {
        "confirm": _removing(actor, row),
        "back": reverse("web:traffic", args=[actor.tenant.slug]),
        "error": error,
        "reason": request.POST.get("reason", ""),
    }
    status = status_of(error) if error else 200
    return page(request, actor, "releases/confirm.html", "traffic", context, status)


def _table(
    request: HttpRequest,
    actor: Actor,
    places: Sequence[Environment],
    place: Environment | None,
    draft: Iterable[WantedMapping] = (),
    error: DomainError | None = None,
    *,
    is_unchanged: bool = False,
) -> HttpResponse:
    context: dict[str, Any] = {
        "places": places,
        "place": place,
        "error": error,
        "is_unchanged": is_unchanged and error is None,
    }
    if place is not None:
        table = traffic_table(actor, place, draft)
        asked, entry = _asked(request.GET, table), entry_of(place)
        context |= {
            "table": table,
            "tiers": TIERS,
            "asked": asked,
            "way": way_of(table, asked, is_tied=entry.is_tied),
            "access": _access(table, asked, entry),
            "standstill": standstill(place, timezone.now()),
            "keys": shown_keys(actor, place),
        }
    return page(request, actor, "traffic/page.html", "traffic", context, status_of(error) if error else 200)


def _asked(data: QueryDict, table: TrafficTable) -> Request:
    """The request in the tester: as asked for, or one of this tenant for the first service."""
    mapped = [row for row in table.rows if not row.is_unmapped] or table.rows
    first = mapped[0].service.name if mapped else ""
    return Request(
        service=data.get("service", first)[:40],
        tenant=data.get("caller", table.environment.tenant.slug).strip()[:60],
        tier=data.get("tier", "").strip()[:60],
    )


def _access(table: TrafficTable, asked: Request, entry: Entry) -> dict[str, object]:
    """How callers come in: addresses, headers, and a request for the service in the tester."""
    at = {
        row.service.name: f"{entry.gateway}{service_path(table.environment.name, row.service.name)}/infer"
        for row in table.rows
    }
    lines = [f"curl {at.get(asked.service) or next(iter(at.values()), '')}"]
    lines += [sent.option for sent in entry.headers if not sent.is_optional or sent.value == asked.tier]
    lines += ["-H 'content-type: application/json'", "-d @request.json"]
    return {"addresses": at, "entry": entry, "curl": " \\\n  ".join(lines)}


def _review(
    request: HttpRequest,
    actor: Actor,
    place: Environment,
    draft: Iterable[WantedMapping],
    error: DomainError | None = None,
) -> HttpResponse:
    """The difference. Its form carries the revisions that it was made from, for `save` to be held against."""
    table = traffic_table(actor, place, draft)
    if not table.changes:
        return _table(request, actor, environments(actor), place, draft, error, is_unchanged=True)
    context = {
        "place": place,
        "table": table,
        "lines": route_diff(table),
        "error": error,
        "back": _address(actor, place),
    }
    status = status_of(error) if error else 409 if table.overtaken or table.gone else 200
    return page(request, actor, "traffic/review.html", "traffic", context, status)


def _save(
    request: HttpRequest, actor: Actor, place: Environment, draft: Sequence[WantedMapping]
) -> HttpResponse:
    try:
        done = commands.set_mappings(actor, place.name, draft, at=timezone.now())
    except DomainError as error:
        return _review(request, actor, place, draft, error)
    names = ", ".join(each.service for each in done if each.before != each.after)
    if names:
        said(request, f"Saved: {names} in {place.name}. The workers set the routes within seconds.")
    return redirect(_address(actor, place))


def _address(actor: Actor, place: Environment) -> str:
    return f"{reverse('web:traffic', args=[actor.tenant.slug])}?environment={place.name}"


def _removing(actor: Actor, service: Service) -> Confirmation:
    places = environments(actor)
    mapped = [place.name for place in places if mappings([place], [service])]
    where = f"in {' and in '.join(mapped)}" if mapped else ""
    text = (
        f"Whoever calls it {where} is answered 404 as soon as the routes have followed, within seconds. "
        if mapped
        else "It has no mapping in any environment, so nobody is answered under this name now. "
    )
    return Confirmation(
        act="remove",
        title=f"Remove the service {service.name}?",
        text=f"{text}The models go on serving at their own addresses.",
        hint=f"Why is {service.name} no longer wanted?",
        do=f"Remove {service.name}",
        css="danger-solid",
        url=reverse("web:remove-service", args=[actor.tenant.slug, service.name]),
    )
