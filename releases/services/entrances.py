"""Where an endpoint is called, and the headers without which its gateway lets nobody in: the real ones, keys
and all, for callers of the tenant and for the portal's own smoke test. Reads only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings

from releases.domain.traffic import TENANT_HEADER
from releases.models import Endpoint, KubernetesPlace
from releases.models.places import TargetKind
from tenants import traffic_keys


@dataclass(frozen=True, slots=True)
class Entrance:
    """`url` ends in /v2/models/<model>."""

    url: str
    headers: Mapping[str, str]


def entrances(endpoints: Iterable[Endpoint]) -> dict[int, Entrance]:
    """Endpoint's key -> how it is called (read with tenant, environment and model); at most two queries."""
    known = list(endpoints)
    keys = traffic_keys.keys_of(local_tenants(known))
    elsewhere = {e.environment_id for e in known if e.environment.target != TargetKind.LOCAL}
    rows = KubernetesPlace.objects.filter(environment__in=elsewhere)
    places = {place.environment_id: place for place in rows}
    return {
        endpoint.pk: _entrance(
            endpoint, places.get(endpoint.environment_id), keys.get(endpoint.tenant.slug, ())
        )
        for endpoint in known
    }


def local_tenants(endpoints: Iterable[Endpoint]) -> set[str]:
    """The tenants whose keys open some of these endpoints: elsewhere than at the local gateway none does."""
    return {e.tenant.slug for e in endpoints if e.environment.target == TargetKind.LOCAL}


def _entrance(endpoint: Endpoint, place: KubernetesPlace | None, keys: tuple[str, ...]) -> Entrance:
    route = endpoint.route
    path = f"/{route.tenant}/{route.environment}/v2/models/{route.model}"
    if endpoint.environment.target == TargetKind.LOCAL:
        headers = {traffic_keys.HEADER: keys[0]} if keys else {}
        return Entrance(settings.GATEWAY_URL + path, headers)
    gateway = "" if place is None else place.gateway_url.rstrip("/")
    is_tied = place is not None and place.callers.is_tied
    return Entrance(gateway + path, {TENANT_HEADER: route.tenant} if is_tied else {})
