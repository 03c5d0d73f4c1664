"""Services: public names whose requests are led to a model by tenant and tier. Values only.

A caller says who it is with the header `tenant` and, if it likes, which class of service it wants with
`customer-tier`. A tier without a rule of its own gets the default rule's model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TENANT_HEADER = "tenant"
TIER_HEADER = "customer-tier"
TIERS = ("premium", "standard")


@dataclass(frozen=True, slots=True)
class TrafficRule:
    """Requests for a service with this tier (None: all tiers without a rule of their own) get this model."""

    tier: str | None
    model: str


@dataclass(frozen=True, slots=True, order=True)
class ServiceMatch:
    """Requests that a route takes over from a service, apart from those at its own address: with the tier,
    or, without one, with none of the tiers in `unless`. No request fits two matches of one service, so that
    their order never matters."""

    service: str
    tier: str = ""
    unless: tuple[str, ...] = ()


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
