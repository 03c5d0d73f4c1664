"""How callers come in: the public address of an environment's gateway, and what a request has to carry.

Tells it for pages and API; knows no secret. What the gateway lets in is decided where routes are set.
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


def gateway_of(environment: Environment) -> str:
    """The address of the gateway, without a slash at its end."""
    place = _kubernetes(environment)
    return settings.GATEWAY_URL if place is None else place.gateway_url.rstrip("/")


def service_path(environment: str, service: str) -> str:
    """Where a service is below the gateway; the same for all tenants, the header tells them apart."""
    return f"/services/{environment}/v2/models/{service}"


def headers(environment: Environment) -> list[Header]:
    """What a request for a service of this environment carries (read with its tenant)."""
    slug = environment.tenant.slug
    tiers = " or ".join(TIERS)
    return [
        Header(TENANT_HEADER, slug, "says whose service it is"),
        Header(TIER_HEADER, TIERS[0], f"{tiers}; without it, the default answers", is_optional=True),
        *_proof(environment),
    ]


def _proof(environment: Environment) -> list[Header]:
    """How the caller proves that the header `tenant` may be believed."""
    place = _kubernetes(environment)
    if place is None:
        if not TrafficKey.objects.filter(tenant=environment.tenant, retired_at__isnull=True).exists():
            return []
        why = f"a traffic key of {environment.tenant.slug}; it opens no other tenant's services"
        return [Header(traffic_keys.HEADER, TRAFFIC_KEY, why)]
    if place.jwt_issuer:
        why = f"a token of {place.jwt_issuer} whose claim {place.jwt_claim} is {environment.tenant.slug}"
        return [Header("authorization", f"Bearer {TOKEN}", why)]
    return []


def _kubernetes(environment: Environment) -> KubernetesPlace | None:
    return KubernetesPlace.objects.filter(environment=environment).first()
