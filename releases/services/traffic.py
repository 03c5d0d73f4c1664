"""What leads to the routes: the services of a tenant's mapping, and the keys that open them. Reads only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from releases.domain.routing import RouteSetting, fingerprint
from releases.domain.traffic import ServiceMatch, TrafficRule, matches
from releases.models import Endpoint, ServiceRule
from releases.models.places import TargetKind
from releases.services.entrances import local_tenants
from tenants import traffic_keys


@dataclass(frozen=True, slots=True)
class Doors:
    """Endpoint's key -> what leads to it. The keys themselves never leave `tenants.traffic_keys`."""

    matches: Mapping[int, tuple[ServiceMatch, ...]] = field(default_factory=dict)
    access: Mapping[int, str] = field(default_factory=dict)

    def of(self, endpoint: Endpoint, setting: RouteSetting) -> RouteSetting:
        """The setting with what leads to this endpoint."""
        return replace(
            setting,
            matches=self.matches.get(endpoint.pk, ()),
            access=self.access.get(endpoint.pk, ""),
        )


def doors(endpoints: Iterable[Endpoint]) -> Doors:
    """What leads to these endpoints (read with tenant, environment and model); two queries."""
    known = list(endpoints)
    rules: dict[tuple[int, str], list[TrafficRule]] = {}
    rows = ServiceRule.objects.filter(environment__in={endpoint.environment_id for endpoint in known})
    for row in rows.select_related("service", "model"):
        rules.setdefault((row.environment_id, row.service.name), []).append(row.value())
    led: dict[tuple[int, str], tuple[ServiceMatch, ...]] = {}
    for (environment, service), of_service in rules.items():
        for model, found in matches(service, of_service).items():
            led[environment, model] = tuple(sorted((*led.get((environment, model), ()), *found)))
    return Doors(
        {endpoint.pk: led.get((endpoint.environment_id, endpoint.model.name), ()) for endpoint in known},
        _access(known),
    )


def _access(endpoints: Sequence[Endpoint]) -> dict[int, str]:
    """Which keys open the routes at the local gateway; elsewhere it is not keys that tie callers to tenants.

    Without a living key nobody gets in; that is something else than a route that is open to all."""
    tenants = local_tenants(endpoints)
    keys = {slug: fingerprint(found) for slug, found in traffic_keys.keys_of(tenants).items()}
    return {e.pk: keys[e.tenant.slug] for e in endpoints if e.environment.target == TargetKind.LOCAL}
