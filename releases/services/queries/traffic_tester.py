""" "Where does this request go?": the answer of the saved mapping, step by step.

Reads what is saved, as the workers do; asks no gateway.
"""

from dataclasses import dataclass

from releases.domain.traffic import TENANT_HEADER, TIER_HEADER, TIERS, resolve
from releases.models import Environment
from releases.services.queries.traffic import Serving, TrafficTable

NO_MODEL = "404: no model is served at this address"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as somebody thinks of it: a service's name and two headers; empty: not sent."""

    service: str
    tenant: str
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request goes: what was looked at on the way, and the end of it. `tone`: a tone of the page."""

    steps: list[str]
    end: str
    detail: str
    tone: str


def way_of(table: TrafficTable, request: Request, *, is_tied: bool) -> Way:
    """Where the request goes by the mapping that is saved. `is_tied`: no caller of this tenant can send
    the header of another."""
    environment = table.environment
    own = environment.tenant.slug
    if request.tenant != own:
        return _stranger(request, own, is_tied)
    steps = [f"{TENANT_HEADER}: {own} is this tenant"]
    row = next((row for row in table.rows if row.service.name == request.service), None)
    if row is None:
        return Way(
            steps, "No model answers", f"There is no service {request.service!r}. {NO_MODEL}.", "danger"
        )
    rules = row.saved_rules
    rule = resolve(rules, request.tier or None)
    steps.append(_of_tier(request.tier, any(known.tier == request.tier for known in rules if known.tier)))
    if rule is None:
        why = "has no default" if rules else f"has no mapping in {environment.name}"
        return Way(steps, "No model answers", f"{request.service} {why}. {NO_MODEL}.", "danger")
    return _arrival(steps, rule.model, environment, table.serving.get(rule.model, Serving()))


def _stranger(request: Request, own: str, is_tied: bool) -> Way:
    if not request.tenant:
        step = f"without the header {TENANT_HEADER} no rule fits"
        return Way([step], "No model answers", f"{NO_MODEL}.", "danger")
    step = f"{TENANT_HEADER}: {request.tenant} is not {own}"
    why = f"No rule of {own} fits"
    if is_tied:
        why += f", and what lets {own}'s callers in opens no other tenant's services"
    return Way([step], f"No model of {own} answers", f"{why}.", "danger")


def _of_tier(tier: str, has_rule: bool) -> str:
    if not tier:
        return f"without {TIER_HEADER} the default is taken"
    if has_rule:
        return f"{TIER_HEADER}: {tier} has a rule of its own"
    known = "has no rule of its own" if tier in TIERS else "is no tier that is known"
    return f"{TIER_HEADER}: {tier} {known}, so the default is taken"


def _arrival(steps: list[str], model: str, environment: Environment, serving: Serving) -> Way:
    end = f"{model}, {environment.name}"
    if serving.answers:
        return Way(steps, end, serving.text, "candidate" if serving.is_split else "success")
    why = f"{serving.text}; until a version of {model} is released, the gateway answers 404 or 503"
    return Way(steps, end, why, "danger")
