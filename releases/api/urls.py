"""Routes of the API and of what machines ask about the portal itself.

Names in paths are held against what can exist, so that nothing else ever reaches the database."""

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path, register_converter
from django.urls.converters import StringConverter
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView

from releases.api.administration import AuditViews, TokenViews
from releases.api.catalog import ModelViews, VersionViews
from releases.api.deliveries import DeliveryViews
from releases.api.metrics import metrics
from releases.api.places import EndpointViews, EnvironmentViews
from releases.api.probes import healthz, readyz
from releases.api.problems import Problem
from releases.api.record import RecordViews
from releases.api.releases import ReleaseViews
from releases.api.replays import RecordingViews, RetrospectiveViews
from releases.api.schema import DocsView
from releases.api.services import ServiceViews
from releases.api.waiting import wait
from releases.api.webhooks import mlflow
from tenants.models import NAME_PATTERN

app_name = "api"


class NameConverter(StringConverter):
    """A tenant's, model's, environment's or service's name."""

    regex = NAME_PATTERN


class VersionConverter(StringConverter):
    """A semantic version."""

    regex = "[0-9A-Za-z.-]{1,128}"


class ReleaseConverter(StringConverter):
    """A release's id, a ULID."""

    regex = "[0-9A-HJKMNP-TV-Z]{26}"


register_converter(NameConverter, "name")
register_converter(VersionConverter, "version")
register_converter(ReleaseConverter, "release")


@csrf_exempt
def unknown_route(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 as a problem for everything below /api/ that is not there."""
    hint = "" if request.path.endswith("/") else " Addresses of this API end in a slash."
    return Problem(404, "no_such_route", f"There is nothing at this address.{hint}").response()


release_routes: list[URLPattern] = [
    path("", ReleaseViews.as_view({"get": "retrieve"}), name="release"),
    path("wait/", wait, name="wait"),
    *(
        path(f"{act}/", ReleaseViews.as_view({"post": act}), name=act)
        for act in ("approve", "reject", "pause", "resume", "promote", "abort")
    ),
    path("replay/", RecordingViews.as_view({"get": "recording"}), name="recording"),
    *(
        path(f"{part}/", RecordViews.as_view({"get": part}), name=part)
        for part in ("transitions", "samples", "checks", "approvals", "evidence")
    ),
    path("deliveries/", DeliveryViews.as_view({"get": "list"}), name="deliveries"),
    path("deliveries/<int:delivery>/resend/", DeliveryViews.as_view({"post": "resend"}), name="resend"),
]

tenant_routes: list[URLPattern | URLResolver] = [
    path("models/", ModelViews.as_view({"get": "list", "post": "create"}), name="models"),
    path("models/<name:model>/", ModelViews.as_view({"get": "retrieve"}), name="model"),
    path(
        "models/<name:model>/versions/",
        VersionViews.as_view({"get": "list", "post": "create"}),
        name="versions",
    ),
    path(
        "models/<name:model>/versions/<version:version>/",
        VersionViews.as_view({"get": "retrieve"}),
        name="version",
    ),
    path("environments/", EnvironmentViews.as_view({"get": "list"}), name="environments"),
    path(
        "environments/<name:environment>/",
        EnvironmentViews.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="environment",
    ),
    path("endpoints/", EndpointViews.as_view({"get": "list"}), name="endpoints"),
    path(
        "endpoints/<name:environment>/<name:model>/",
        EndpointViews.as_view({"get": "retrieve"}),
        name="endpoint",
    ),
    path(
        "endpoints/<name:environment>/<name:model>/rollback/",
        EndpointViews.as_view({"post": "rollback"}),
        name="rollback",
    ),
    path(
        "endpoints/<name:environment>/<name:model>/hold/",
        EndpointViews.as_view({"delete": "lift_hold"}),
        name="hold",
    ),
    path(
        "endpoints/<name:environment>/<name:model>/replay/",
        RetrospectiveViews.as_view({"post": "replay"}),
        name="replay",
    ),
    path("releases/", ReleaseViews.as_view({"get": "list", "post": "create"}), name="releases"),
    path("releases/forecast/", ReleaseViews.as_view({"post": "forecast"}), name="forecast"),
    path("releases/<release:release>/", include(release_routes)),
    path("services/", ServiceViews.as_view({"get": "list"}), name="services"),
    path(
        "services/<name:service>/mappings/<name:environment>/",
        ServiceViews.as_view({"put": "set_mapping"}),
        name="mapping",
    ),
    path("audit/", AuditViews.as_view({"get": "list"}), name="audit"),
    path("tokens/", TokenViews.as_view({"get": "list", "post": "create"}), name="tokens"),
    path("tokens/<int:token>/", TokenViews.as_view({"delete": "destroy"}), name="token"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("webhooks/mlflow/", mlflow, name="mlflow-webhook"),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", DocsView.as_view(), name="docs"),
    path("api/v1/tenants/<name:tenant>/", include(tenant_routes)),
    re_path(r"^api/(?P<rest>.*)", unknown_route),
]
