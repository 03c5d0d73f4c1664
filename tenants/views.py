"""Pages outside a tenant: home, log in, log out, choose a tenant. Know nothing of releases."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from tenants.access import tenants_of
from tenants.forms import LoginForm
from tenants.models import User

login = LoginView.as_view(
    template_name="tenants/login.html", authentication_form=LoginForm, redirect_authenticated_user=True
)
logout = LogoutView.as_view()


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """To the tenant of a person who has one, else to the choice among them."""
    memberships = tenants_of(cast(User, request.user))
    if len(memberships) == 1:
        return redirect("web:overview", memberships[0].tenant.slug)
    return redirect("tenants:choose")


@require_safe
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """All tenants of a person, with the role in each."""
    memberships = tenants_of(cast(User, request.user))
    return render(request, "tenants/choose.html", {"memberships": memberships})
