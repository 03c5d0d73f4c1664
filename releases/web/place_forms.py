"""How models scale in an environment on Kubernetes, and who may reach them: forms beside their manifests.

A change goes three ways through one
address: shown (`preview`), held against what is in force (`review`), and written (`apply`): only what was
shown as a difference is written.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from releases.domain.autoscaling import Autoscaling
from releases.domain.errors import DomainError
from releases.domain.network import Callers, NetworkRules
from releases.models import Environment, KubernetesPlace, RegisteredModel
from releases.services import commands, find
from releases.services.queries.environments import place_of
from releases.services.queries.place_manifests import (
    Manifest,
    autoscalers,
    example,
    manifest_diff,
    marked_yaml,
    protection_manifests,
    running,
)
from releases.services.scaling import Scaling, scaling
from releases.web.door import inside, page, said, status_of
from releases.web.place_drafts import Draft, filled_draft, read_draft
from releases.web.place_inputs import CALLER_INPUTS, NETWORK_INPUTS, SCALING_INPUTS
from tenants.access import Actor
from tenants.roles import Capability

NOT_CARRIED = ("csrfmiddlewaretoken", "do", "seen")


@dataclass(frozen=True, slots=True)
class Change:
    """What a form means in the cluster: the manifests in force, and those that would be."""

    before: list[Manifest]
    after: list[Manifest]
    is_example: bool = False

    @property
    def seen(self) -> str:
        """Tells whether what is in force is still what somebody has seen."""
        return hashlib.sha256(repr(self.before).encode()).hexdigest()[:16]


# ---- autoscaling ---------------------------------------------------------------------------------
@require_http_methods(["GET", "HEAD", "POST"])
@inside
def autoscaling(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """How the models of an environment scale: all of them, or one with a policy of its own."""
    actor.require(Capability.ADMINISTER)
    environment, place = place_of(actor, name)
    if place is None:
        return redirect("web:environment", actor.tenant.slug, name)
    asked = (request.POST or request.GET).get("model", "").replace("\x00", "")
    model = find.model(actor, asked) if asked else None
    policies = scaling([environment])
    key = (environment.pk, model.pk if model else None)
    own = policies.policies.get(key)
    wanted = request.POST.get("do", "")
    is_removal = wanted in ("remove", "apply-remove")
    if request.method != "POST" or is_removal:
        draft = filled_draft(SCALING_INPUTS, own or policies.default(environment))
    else:
        draft = read_draft(SCALING_INPUTS, Autoscaling, request.POST)
    target = None if is_removal else draft.value
    change = _scaling_change(place, model, policies, target, is_removal=is_removal)
    context = {
        "environment": environment,
        "place": place,
        "draft": draft,
        "model": model,
        "is_own": own is not None,
        "models": RegisteredModel.objects.filter(tenant=actor.tenant).order_by("name"),
        "is_example": change.is_example,
        "is_removal": is_removal,
    }
    if is_removal or draft.value is not None:
        of = model.name if model else None
        write = partial(commands.set_autoscaling, actor, name, of, target, at=timezone.now())
        answer = _carry_on(request, actor, environment, change, write, context, "autoscaling")
        if answer is not None:
            return answer
    return _form(request, actor, "environments/autoscaling.html", change, draft.errors, context)


def _scaling_change(
    place: KubernetesPlace,
    model: RegisteredModel | None,
    policies: Scaling,
    target: Autoscaling | None,
    *,
    is_removal: bool,
) -> Change:
    """Of the versions that the policy is about; while the form is wrong, nothing changes."""
    environment = place.environment
    changed = dict(policies.policies)
    if target is not None:
        changed[environment.pk, model.pk if model else None] = target
    elif is_removal:
        changed.pop((environment.pk, model.pk if model else None), None)
    versions = running(place, model)
    if model is None:  # those with a policy of their own keep it
        inheriting = [
            one
            for one in versions
            if one.model is None or (environment.pk, one.model.pk) not in policies.policies
        ]
        versions = inheriting or [example(place)]
    before = autoscalers(versions, environment, policies)
    after = autoscalers(versions, environment, replace(policies, policies=changed))
    return Change(before, after, versions[0].is_example)


# ---- network policy and callers ------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class NetworkDraft:
    """The form of who may reach the models; `is_shut`: with a network policy."""

    rules: Draft[NetworkRules]
    callers: Draft[Callers]
    is_shut: bool

    @classmethod
    def of(cls, place: KubernetesPlace) -> "NetworkDraft":
        """What is in force."""
        return cls(
            filled_draft(NETWORK_INPUTS, place.network_rules_kept),
            filled_draft(CALLER_INPUTS, place.callers),
            place.has_network_policy,
        )

    @classmethod
    def read(cls, data: QueryDict) -> "NetworkDraft":
        """What was typed; rules that are not in force may be as they like."""
        is_shut = "has_network_policy" in data
        rules = read_draft(NETWORK_INPUTS, NetworkRules, data)
        return cls(
            rules if is_shut else replace(rules, errors={}),
            read_draft(CALLER_INPUTS, Callers, data),
            is_shut,
        )

    @property
    def wanted(self) -> tuple[NetworkRules | None, Callers] | None:
        """Policy and callers; None while something is wrong."""
        if self.callers.value is None or (self.is_shut and self.rules.value is None):
            return None
        return self.rules.value if self.is_shut else None, self.callers.value


@require_http_methods(["GET", "HEAD", "POST"])
@inside
def network(request: HttpRequest, actor: Actor, name: str) -> HttpResponse:
    """Who may talk to the models of an environment, and how callers prove who they are."""
    actor.require(Capability.ADMINISTER)
    environment, place = place_of(actor, name)
    if place is None:
        return redirect("web:environment", actor.tenant.slug, name)
    draft = NetworkDraft.read(request.POST) if request.method == "POST" else NetworkDraft.of(place)
    wanted = draft.wanted
    before = protection_manifests(place, place.network_rules, place.callers)
    change = Change(before, protection_manifests(place, *wanted) if wanted else before)
    context = {
        "environment": environment,
        "place": place,
        "rules": draft.rules,
        "callers": draft.callers,
        "wrong": [*draft.callers.wrong, *draft.rules.wrong],
        "is_shut": draft.is_shut,
        "is_tied": wanted is None or wanted[1].is_tied,
        "note": "the gateway's own labels are read from its Gateway object" if change.after else "",
    }
    if wanted is not None:
        write = partial(commands.set_protection, actor, name, *wanted, at=timezone.now())
        answer = _carry_on(request, actor, environment, change, write, context, "network")
        if answer is not None:
            return answer
    errors = {**draft.rules.errors, **draft.callers.errors}
    return _form(request, actor, "environments/network.html", change, errors, context)


# ---- what both have in common --------------------------------------------------------------------
def _carry_on(
    request: HttpRequest,
    actor: Actor,
    environment: Environment,
    change: Change,
    write: Callable[[], object],
    context: dict[str, Any],
    what: str,
) -> HttpResponse | None:
    """Show the difference, or write what was seen as one; None: the form goes on. Where nothing changes in
    the cluster there is nothing to be seen first."""
    wanted = request.POST.get("do", "")
    if wanted not in ("review", "remove", "apply", "apply-remove"):
        return None
    is_overtaken = wanted.startswith("apply") and request.POST.get("seen") != change.seen
    if change.before != change.after and (is_overtaken or not wanted.startswith("apply")):
        more = {
            "lines": manifest_diff(change.before, change.after),
            "seen": change.seen,
            "is_overtaken": is_overtaken,
            "carried": [(name, request.POST[name]) for name in request.POST if name not in NOT_CARRIED],
            "what": what,
        }
        status = 409 if is_overtaken else 200
        template = "environments/review.html"
        return page(request, actor, template, "environments", {**context, **more}, status)
    try:
        write()
    except DomainError as error:
        context["error"] = error
        return None
    if change.before == change.after:
        said(request, "Saved. Nothing changes in the cluster by it.")
    else:
        said(request, "Saved. The workers apply it within seconds and read it back.")
    return redirect("web:environment", actor.tenant.slug, environment.name)


def _form(
    request: HttpRequest,
    actor: Actor,
    template: str,
    change: Change,
    errors: Mapping[str, str],
    context: dict[str, Any],
) -> HttpResponse:
    """The form beside its manifests; what the change would be is marked in them."""
    wanted = request.POST.get("do", "")
    error: DomainError | None = context.get("error")
    is_refused = bool(errors) and wanted in ("review", "apply")
    lines = marked_yaml(change.before, change.after)
    context |= {"lines": lines, "is_changed": change.before != change.after, "is_refused": is_refused}
    status = status_of(error) if error else 422 if is_refused else 200
    return page(request, actor, template, "environments", context, status)
