"""Services over HTTP: a tenant's public names, and which model answers which caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.pagination import Pages
from releases.api.place_answers import MappingSerializer, ServiceSerializer
from releases.api.requests import MappingForm, NoQuery
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.domain.traffic import TENANT_HEADER, TrafficRule
from releases.models import Environment, Service
from releases.services import commands, document, find
from releases.services.callers import entry_of, service_path
from releases.services.queries.traffic import Serving, mappings, serving
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class Place:
    """An environment (read with its tenant), its gateway's address, and what answers there by model."""

    environment: Environment
    gateway: str
    serving: Mapping[str, Serving]

    @classmethod
    def of(cls, environment: Environment) -> "Place":
        """As it is now."""
        return cls(environment, entry_of(environment).gateway, serving(environment))

    def mapping_json(self, service: str, rules: Sequence[TrafficRule]) -> dict[str, Any]:
        """Which model answers which caller of a service here."""
        models = sorted({rule.model for rule in rules})
        return {
            "service": service,
            "environment": self.environment.name,
            "url": self.gateway + service_path(self.environment.name, service),
            "headers": {TENANT_HEADER: self.environment.tenant.slug},
            "rules": [{"tier": rule.tier, "model": rule.model} for rule in rules],
            "unserved": [name for name in models if not self.serving.get(name, Serving()).answers],
        }


class ServiceViews(TenantViewSet):
    """Services and their mappings."""

    capabilities = {"set_mapping": Capability.ADMINISTER}

    @listed("list_services", ServiceSerializer, summary="The services and their mappings")
    def list(self, request: Request, tenant: str) -> Response:
        """All services of the tenant by name, each with its mapping in every environment."""
        self.query(NoQuery)
        rows = Service.objects.filter(tenant=self.actor.tenant)
        return Pages("name").answer(request, rows, self._describe)

    def _describe(self, services: Sequence[Service]) -> Sequence[dict[str, Any]]:
        environments = list(Environment.objects.filter(tenant=self.actor.tenant).select_related("tenant"))
        places = [Place.of(environment) for environment in environments]
        saved = mappings(environments, services)
        return [
            {
                "name": service.name,
                "created_at": document.moment(service.created_at),
                "mappings": [
                    place.mapping_json(service.name, saved.get((service.pk, place.environment.pk), ()))
                    for place in places
                ],
            }
            for service in services
        ]

    @described(
        "set_mapping_services",
        MappingSerializer,
        summary="Say which model answers which caller of a service",
        form=MappingForm,
    )
    def set_mapping(self, request: Request, tenant: str, service: str, environment: str) -> Response:
        """Set the whole mapping of a service in an environment; a service that is unknown is added.

        The same again changes nothing. The routes follow within seconds."""
        rules = [TrafficRule(rule["tier"], rule["model"]) for rule in self.content(MappingForm)["rules"]]
        done = commands.set_mapping(self.actor, service, environment, rules, at=self.now())
        place = Place.of(find.environment(self.actor, environment))
        return Response(place.mapping_json(done.service, done.after))
