"""Services: public names whose requests are led to a model by tenant and tier. Values only.

A caller says who it is with the header `tenant` and, if it likes, which class of service it wants with
`customer-tier`. A tier without a rule of its own gets the default rule's model. Without a default rule the
service answers the tiers that have a rule, and no other request.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from releases.domain.errors import Invalid

TENANT_HEADER = "tenant"
TIER_HEADER = "customer-tier"
TIERS = ("premium", "standard")


@dataclass(frozen=True, slots=True)
class TrafficRule:
    """Requests for a service with this tier (None: all tiers without a rule of their own) get this model."""

    tier: str | None
    model: str

    @property
    def tier_name(self) -> str:
        """The tier in words."""
        return self.tier or "default"


@dataclass(frozen=True, slots=True, order=True)
class ServiceMatch:
    """Requests that a route takes over from a service, apart from those at its own address: with the tier,
    or, without one, with none of the tiers in `unless`. No request fits two matches of one service, so that
    their order never matters."""

    service: str
    tier: str = ""
    unless: tuple[str, ...] = ()


def in_order(rules: Iterable[TrafficRule]) -> tuple[TrafficRule, ...]:
    """The rules of one mapping in the order in which they are always told: the default, then the tiers."""
    return tuple(sorted(rules, key=lambda rule: (rule.tier is not None, rule.tier or "", rule.model)))


def checked(rules: Sequence[TrafficRule], models: Collection[str]) -> tuple[TrafficRule, ...]:
    """The rules of one mapping, in order; `models` are those that there are. Raises `Invalid`, naming as
    "rules.<place>.<field>" everything that is wrong."""
    fields: dict[str, list[str]] = {}
    seen: set[str | None] = set()
    for place, rule in enumerate(rules):
        if rule.tier is not None and rule.tier not in TIERS:
            said = f"there is no tier {rule.tier[:60]!r}; there are: {', '.join(TIERS)}"
            fields[f"rules.{place}.tier"] = [said]
        elif rule.tier in seen:
            fields[f"rules.{place}.tier"] = [f"{rule.tier_name} has a rule already; one rule a tier"]
        if rule.model not in models:
            fields[f"rules.{place}.model"] = [f"there is no model {rule.model[:60]!r}"]
        seen.add(rule.tier)
    if fields:
        said = "; ".join(f"{name}: {messages[0]}" for name, messages in fields.items())
        raise Invalid(f"{said}.", code="bad_mapping", fields=fields)
    return in_order(rules)


def revision(rules: Iterable[TrafficRule]) -> str:
    """Tells mappings apart: the same for the same rules in any order, another for others."""
    text = "\n".join(f"{rule.tier or ''} {rule.model}" for rule in in_order(rules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def matches(service: str, rules: Iterable[TrafficRule]) -> dict[str, tuple[ServiceMatch, ...]]:
    """Model -> what it takes over from the service, sorted."""
    known = list(rules)
    named = tuple(sorted(rule.tier for rule in known if rule.tier))
    found: dict[str, list[ServiceMatch]] = {}
    for rule in known:
        match = ServiceMatch(service, rule.tier) if rule.tier else ServiceMatch(service, "", named)
        found.setdefault(rule.model, []).append(match)
    return {model: tuple(sorted(parts)) for model, parts in found.items()}


def resolve(rules: Sequence[TrafficRule], tier: str | None) -> TrafficRule | None:
    """The rule that a request with this tier follows; None: nothing answers it."""
    by_tier = {rule.tier: rule for rule in rules}
    return by_tier.get(tier or None) or by_tier.get(None)
