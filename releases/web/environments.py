"""The pages of environments: all of them, one of them, a new one, and its policy."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from releases.domain.errors import Conflict, DomainError
from releases.models import Environment
from releases.services import commands, find
from releases.services.queries.environments import environment_page, environment_rows
from releases.services.queries.place_manifests import autoscalers, marked_yaml, protection_manifests, running
from releases.services.scaling import scaling
from releases.web.door import inside, page, said, status_of
from releases.web.drafts import Draft as PlanDraft
from releases.web.policy_drafts import PolicyDraft
from tenants.access import Actor
from tenants.roles import Capability


@require_safe
@inside
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """All environments, in the order of release."""
    context = {"rows": environment_rows(actor, timezone.now())}
    return page(request, actor, "environments/list.html", "environments", context)


@require_safe
@inside
def show(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """One environment: where it is, what its policy is, and what stands around its models."""
    shown = environment_page(actor, name, timezone.now())
    context: dict[str, Any] = {"page": shown, "environment": shown.environment, "place": shown.place}
    if shown.place is not None:
        versions = running(shown.place)
        scaled = autoscalers(versions, shown.environment, scaling([shown.environment]))
        guarded = protection_manifests(shown.place, shown.place.network_rules, shown.place.callers)
        context |= {
            "scaled": marked_yaml(scaled, scaled),
            "is_example": versions[0].is_example,
            "guarded": marked_yaml(guarded, guarded),
        }
    else:
        context["has_clusters"] = bool(settings.KUBERNETES_CLUSTERS)
    return page(request, actor, "environments/environment.html", "environments", context)


@require_POST
@inside
def examine(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Have the workers try the connection; the environment's page shows what they find."""
    try:
        commands.ask_for_examination(actor, name, at=timezone.now())
    except Conflict as error:  # it was moved back to this machine meanwhile
        messages.warning(request, str(error))
    return redirect("web:environment", actor.tenant.slug, name)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def add(request: HttpRequest, actor: Actor) -> HttpResponse:
    """An environment more; it serves on the portal's own machine until it is connected to a cluster."""
    actor.require(Capability.ADMINISTER)
    known = list(Environment.objects.filter(tenant=actor.tenant))
    draft = PolicyDraft.of_new(known)
    error: DomainError | None = None
    if request.method == "POST":
        draft = PolicyDraft.read(request.POST)
        try:
            added = commands.add_environment(
                actor,
                name=draft.name,
                position=draft.position_number,
                changes=draft.changes(("approvals_required", "requires_success_in")),
                at=timezone.now(),
            )
        except DomainError as refused:
            error, draft = refused, draft.refused(refused)
        else:
            said(request, f"{added.name} is there now.")
            return redirect("web:environment", actor.tenant.slug, added.name)
    context = {"draft": draft, "error": error, "others": known}
    status = status_of(error) if error else 200
    return page(request, actor, "environments/add.html", "environments", context, status)


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def policy(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Approvals, staging first, tolerance, and the default plan."""
    actor.require(Capability.ADMINISTER)
    environment = find.environment(actor, name)
    draft = PolicyDraft.of(environment)
    plan = PlanDraft(environment=name).filled(environment.plan(), "own")
    if request.method != "POST":
        return _policy(request, actor, environment, draft, plan)
    draft, plan = PolicyDraft.read(request.POST), PlanDraft.read(request.POST)
    wanted = request.POST.get("do", "")
    if wanted != "save":
        return _policy(request, actor, environment, draft, _with_steps(plan, wanted))
    try:
        # Over what is in force: a plan has more to it than the form shows.
        default_plan = environment.plan(plan.plan()).to_json()
        changes = {**draft.changes(), "default_plan": default_plan}
        commands.change_environment(actor, name, changes, at=timezone.now())
    except DomainError as error:
        draft, plan = draft.refused(error), plan.refused(error)
        return _policy(request, actor, environment, draft, plan, error)
    said(request, f"Saved. The policy of {name} holds for releases that are filed from now on.")
    return redirect("web:environment", actor.tenant.slug, name)


def _with_steps(plan: PlanDraft, wanted: str) -> PlanDraft:
    """A row of the steps more or less."""
    number = wanted.removeprefix("remove-")
    if wanted == "add":
        return plan.with_step()
    return plan.without_step(int(number)) if number != wanted and number.isdecimal() else plan


def _policy(
    request: HttpRequest,
    actor: Actor,
    environment: Environment,
    draft: PolicyDraft,
    plan: PlanDraft,
    error: DomainError | None = None,
) -> HttpResponse:
    others = Environment.objects.filter(tenant=actor.tenant).exclude(pk=environment.pk)
    context = {
        "environment": environment,
        "policy": draft,
        "draft": plan,
        "others": list(others),
        "error": error,
    }
    status = status_of(error) if error else 200
    return page(request, actor, "environments/policy.html", "environments", context, status)
