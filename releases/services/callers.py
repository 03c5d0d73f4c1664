"""How callers of services come in: the address of an environment's gateway, and what a request has to carry.

With placeholders where a secret stands, so that everybody who may look may read it. What the gateway lets in
is decided where routes are set.
"""

from dataclasses import dataclass

from django.conf import settings

from releases.domain.traffic import TENANT_HEADER, TIER_HEADER, TIERS
from releases.models import Environment, KubernetesPlace
from tenants import traffic_keys
from tenants.models import TrafficKey

TRAFFIC_KEY = "$TRAFFIC_KEY"
TOKEN = "$TOKEN"  # noqa: S105 - what stands in an example for the caller's own


@dataclass(frozen=True, slots=True)
class Header:
    """A header of a request; `value` may hold a placeholder."""

    name: str
    value: str
    why: str
    is_optional: bool = False

    @property
    def option(self) -> str:
        """As curl takes it; in double quotes the shell fills a placeholder in."""
        quote = '"' if "$" in self.value else "'"
        return f"-H {quote}{self.name}: {self.value}{quote}"


@dataclass(frozen=True, slots=True)
class Entry:
    """The gateway's address, without a slash at its end, and what callers send there. `is_tied`: nobody can
    send the header `tenant` of somebody else. `warning`: what is amiss with that, empty: nothing."""

    gateway: str
    headers: tuple[Header, ...]
    is_tied: bool
    warning: str = ""


def service_path(environment: str, service: str) -> str:
    """Where a service is below the gateway; the same for all tenants, the header tells them apart."""
    return f"/services/{environment}/v2/models/{service}"


def entry_of(environment: Environment) -> Entry:
    """How one comes in to an environment (read with its tenant)."""
    slug, tiers = environment.tenant.slug, " or ".join(TIERS)
    headers = (
        Header(TENANT_HEADER, slug, "says whose service it is"),
        Header(TIER_HEADER, TIERS[0], f"{tiers}; without it, the default answers", is_optional=True),
    )
    place = KubernetesPlace.objects.filter(environment=environment).first()
    return _local(environment, headers) if place is None else _of_cluster(place, slug, headers)


def _local(environment: Environment, headers: tuple[Header, ...]) -> Entry:
    slug = environment.tenant.slug
    key = Header(
        traffic_keys.HEADER, TRAFFIC_KEY, f"a traffic key of {slug}; it opens no other tenant's services"
    )
    has_key = TrafficKey.objects.filter(tenant=environment.tenant, retired_at__isnull=True).exists()
    warning = "" if has_key else f"{slug} has no traffic key, so the gateway lets nobody in."
    return Entry(settings.GATEWAY_URL, (*headers, key), True, warning)


def _of_cluster(place: KubernetesPlace, slug: str, headers: tuple[Header, ...]) -> Entry:
    callers, gateway = place.callers, place.gateway_url.rstrip("/")
    if callers.issuer:
        why = f"a token of {callers.issuer} whose claim {callers.claim} is {slug}"
        headers = (*headers, Header("authorization", f"Bearer {TOKEN}", why))
    if callers.is_tied:
        return Entry(gateway, headers, True)
    warning = (
        f"Nothing ties the header {TENANT_HEADER} to who is calling: whoever reaches the gateway may send it."
    )
    return Entry(gateway, headers, False, warning)
