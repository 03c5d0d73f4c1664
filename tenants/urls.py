"""URLs outside a tenant."""

from django.urls import path

from tenants import views

app_name = "tenants"
urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", views.logout, name="logout"),
    path("tenants/", views.choose, name="choose"),
]
