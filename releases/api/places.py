"""Environments and endpoints over HTTP."""

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.pagination import Pages
from releases.api.place_answers import EndpointSerializer, EnvironmentSerializer
from releases.api.place_requests import EnvironmentForm
from releases.api.release_answers import ReleaseSerializer
from releases.api.releases import with_forecast
from releases.api.requests import NoQuery, ReasonForm
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.models import Endpoint, Environment
from releases.services import commands, document, find, place_document
from tenants.roles import Capability


class EnvironmentViews(TenantViewSet):
    """Environments: policy and connection."""

    capabilities = {"partial_update": Capability.ADMINISTER}

    @listed("list_environments", EnvironmentSerializer, summary="The environments, in the order of release")
    def list(self, request: Request, tenant: str) -> Response:
        """All environments, in the order in which a version goes through them."""
        self.query(NoQuery)
        rows = Environment.objects.filter(tenant=self.actor.tenant).select_related("requires_success_in")
        return Pages("position", "name").answer(request, rows, place_document.of_environments)

    @described("get_environments", EnvironmentSerializer, summary="One environment")
    def retrieve(self, request: Request, tenant: str, environment: str) -> Response:
        """One environment by name."""
        found = find.environment(self.actor, environment)
        return Response(place_document.of_environments([found])[0])

    @described(
        "change_environments",
        EnvironmentSerializer,
        summary="Change policy and connection",
        form=EnvironmentForm,
    )
    def partial_update(self, request: Request, tenant: str, environment: str) -> Response:
        """Change policy, connection, autoscaling and network policy; workers bring it about in seconds.

        Releases that run keep the policy that was frozen into them. An environment in which something serves
        stays where it is: moving it is a conflict."""
        changed = commands.change_whole_environment(
            self.actor,
            environment,
            self.content(EnvironmentForm),
            clusters=settings.KUBERNETES_CLUSTERS,
            hosts=settings.KUBERNETES_HOSTS,
            at=self.now(),
        )
        return Response(place_document.of_environments([changed])[0])


class EndpointViews(TenantViewSet):
    """What serves each model in each environment."""

    capabilities = {"rollback": Capability.OPERATE, "lift_hold": Capability.OPERATE}

    @listed("list_endpoints", EndpointSerializer, summary="What serves")
    def list(self, request: Request, tenant: str) -> Response:
        """All endpoints of the tenant."""
        self.query(NoQuery)
        related = ("tenant", "environment", "model", "stable", "previous")
        rows = Endpoint.objects.filter(tenant=self.actor.tenant).select_related(*related)
        at = self.now()
        return Pages("id").answer(request, rows, lambda page: document.of_endpoints(page, at))

    @described("get_endpoints", EndpointSerializer, summary="What serves a model in an environment")
    def retrieve(self, request: Request, tenant: str, environment: str, model: str) -> Response:
        """One endpoint."""
        endpoint = find.endpoint(self.actor, environment, model)
        return Response(document.of_endpoints([endpoint], self.now())[0])

    @described(
        "rollback_endpoints",
        ReleaseSerializer,
        summary="Go back to the previous version after a finished release",
        status=201,
        form=ReasonForm,
    )
    def rollback(self, request: Request, tenant: str, environment: str, model: str) -> Response:
        """All traffic back to the version before; answers the new release that does it."""
        reason = self.content(ReasonForm)["reason"]
        release = commands.return_to_previous(self.actor, environment, model, reason=reason, at=self.now())
        answer = with_forecast(release, self.now())
        return Response(answer, status=201, headers={"Location": answer["url"]})

    @described(
        "lift_hold_endpoints",
        EndpointSerializer,
        summary="Lift the hold on a version that was rolled back",
        form=ReasonForm,
    )
    def lift_hold(self, request: Request, tenant: str, environment: str, model: str) -> Response:
        """Allow the held version to be released again; answers the endpoint.

        The body is `{"reason": "…"}`; OpenAPI's tools leave bodies of DELETE out."""
        reason = self.content(ReasonForm)["reason"]
        endpoint = commands.lift_hold(self.actor, environment, model, reason=reason, at=self.now())
        return Response(document.of_endpoints([endpoint], self.now())[0])
