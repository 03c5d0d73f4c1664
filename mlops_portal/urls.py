"""All URLs: outside the tenants first, then the API, then the pages of a tenant."""

from django.urls import include, path

from tenants.views import home

urlpatterns = [
    path("", home, name="home"),
    path("", include("tenants.urls")),
    path("", include("releases.api.urls")),
    path("t/<slug:tenant>/", include("releases.web.urls")),
]
