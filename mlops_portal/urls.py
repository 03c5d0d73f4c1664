"""All URLs: outside the tenants first, then the API, then the pages of a tenant."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
