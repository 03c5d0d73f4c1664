"""Environments and endpoints over HTTP."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.answers import ReleaseSerializer
from releases.api.pagination import Pages
from releases.api.place_answers import EndpointSerializer, EnvironmentSerializer
from releases.api.releases import with_forecast
from releases.api.requests import EnvironmentForm, NoQuery, ReasonForm
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.models import Endpoint, Environment
from releases.services import commands, document, find
from tenants.roles import Capability


def environment_json(environment: Environment) -> dict[str, Any]:
    """The policy of an environment and where it serves."""
    earlier = environment.requires_success_in
    return {
        "name": environment.name,
        "position": environment.position,
        "target": environment.target,
        "gateway": settings.GATEWAY_URL,
        "approvals_required": environment.approvals_required,
        "approval_ttl_seconds": environment.approval_ttl_seconds,
        "requires_success_in": None if earlier is None else earlier.name,
        "metric_tolerance": environment.metric_tolerance,
        "default_plan": environment.plan().to_json(),
    }


class EnvironmentViews(TenantViewSet):
    """Environments: policy and connection."""

    capabilities = {"partial_update": Capability.ADMINISTER}

    @listed("list_environments", EnvironmentSerializer, summary="The environments, in the order of release")
    def list(self, request: Request, tenant: str) -> Response:
        """All environments, in the order in which a version goes through them."""
        self.query(NoQuery)
        rows = Environment.objects.filter(tenant=self.actor.tenant).select_related("requires_success_in")
        return Pages("position", "name").answer(request, rows, lambda page: map(environment_json, page))

    @described("get_environments", EnvironmentSerializer, summary="One environment")
    def retrieve(self, request: Request, tenant: str, environment: str) -> Response:
        """One environment by name."""
        return Response(environment_json(find.environment(self.actor, environment)))

    @described(
        "change_environments", EnvironmentSerializer, summary="Change the policy", form=EnvironmentForm
    )
    def partial_update(self, request: Request, tenant: str, environment: str) -> Response:
        """Change the policy; releases that run keep what was frozen into them."""
        changes = self.content(EnvironmentForm)
        changed = commands.change_environment(self.actor, environment, changes, at=self.now())
        return Response(environment_json(changed))


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
