"""Models and their versions over HTTP."""

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from releases.adapters import factory
from releases.api.answers import ModelSerializer, VersionSerializer
from releases.api.pagination import Pages
from releases.api.requests import ModelForm, NoQuery, VersionForm
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.domain.version import Change
from releases.models import ModelVersion, RegisteredModel
from releases.services import catalog, commands, find
from tenants.roles import Capability

LOCAL = "local"


class ModelViews(TenantViewSet):
    """Registered models."""

    capabilities = {"create": Capability.REQUEST}

    @listed("list_models", ModelSerializer, summary="The models of the tenant, by name")
    def list(self, request: Request, tenant: str) -> Response:
        """All models, by name."""
        self.query(NoQuery)
        rows = RegisteredModel.objects.filter(tenant=self.actor.tenant)
        return Pages("name").answer(request, rows, lambda page: ModelSerializer(page, many=True).data)

    @described("add_models", ModelSerializer, summary="Make a model known", status=201, form=ModelForm)
    def create(self, request: Request, tenant: str) -> Response:
        """Make a model of the registry known to the tenant."""
        model = commands.add_model(self.actor, **self.content(ModelForm), at=self.now())
        return Response(ModelSerializer(model).data, status=201)

    @described("get_models", ModelSerializer, summary="One model")
    def retrieve(self, request: Request, tenant: str, model: str) -> Response:
        """One model by name."""
        return Response(ModelSerializer(find.model(self.actor, model)).data)


class VersionViews(TenantViewSet):
    """The versions of one model."""

    capabilities = {"create": Capability.REQUEST}

    @listed("list_versions", VersionSerializer, summary="The versions of a model, newest registration first")
    def list(self, request: Request, tenant: str, model: str) -> Response:
        """All versions, those without a semantic version too."""
        self.query(NoQuery)
        rows: QuerySet[ModelVersion] = ModelVersion.objects.filter(model=find.model(self.actor, model))
        pages = Pages("-registry_version")
        return pages.answer(request, rows, lambda page: VersionSerializer(page, many=True).data)

    @described(
        "register_versions",
        VersionSerializer,
        summary="Register the model of a run under the next semantic version",
        status=201,
        form=VersionForm,
    )
    def create(self, request: Request, tenant: str, model: str) -> Response:
        """Register a run's model in the registry; the number is given here, and never twice."""
        form = self.content(VersionForm)
        version = catalog.register_version(
            self.actor,
            factory.ports(LOCAL).registry,
            model=model,
            run_id=form["run_id"],
            artifact_path=form["artifact_path"],
            change=Change(form["change"]),
            description=form["description"],
            at=self.now(),
        )
        return Response(VersionSerializer(version).data, status=201)

    @described("get_versions", VersionSerializer, summary="One version")
    def retrieve(self, request: Request, tenant: str, model: str, version: str) -> Response:
        """One version by its semantic version."""
        found = find.version(self.actor, find.model(self.actor, model), version)
        return Response(VersionSerializer(found).data)
