"""Releases over HTTP: filed, read, waited for, acted on."""

import hashlib
from datetime import datetime
from typing import Any

from django.http import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.pagination import Pages
from releases.api.release_answers import ForecastSerializer, ReleaseSerializer
from releases.api.requests import (
    ActForm,
    DecisionForm,
    NoQuery,
    RejectionForm,
    ReleaseForm,
    ReleaseQuery,
    StrictSerializer,
)
from releases.api.schema import described, header, listed
from releases.api.tenant import TenantViewSet
from releases.domain.release import ACTIVE, TERMINAL, Act
from releases.models import Release
from releases.services import commands, document, find, forecasts
from tenants.roles import Capability

COLUMNS = {"model": "endpoint__model__name", "environment": "endpoint__environment__name", "phase": "phase"}
KEY = header(
    "Idempotency-Key",
    "At most 255 characters; the same key and body answers the same release, for seven days.",
    maxLength=255,
    pattern="^[!-~]([ -~]*[!-~])?$",
)
MATCH = header("If-None-Match", "The ETag of what you have; 304 while nothing has changed.")


class ReleaseViews(TenantViewSet):
    """Releases."""

    # Whether an act is allowed depends on the release too (its requester may withdraw it), so for acts
    # the door asks no more than to be inside, and the command decides.
    capabilities = {
        "create": Capability.REQUEST,
        "forecast": Capability.VIEW,
        "approve": Capability.APPROVE,
        "reject": Capability.APPROVE,
        **dict.fromkeys((act.value for act in Act), Capability.VIEW),
    }

    @listed("list_releases", ReleaseSerializer, summary="Releases, newest first", parameters=[ReleaseQuery])
    def list(self, request: Request, tenant: str) -> Response:
        """Releases, newest first."""
        wanted = self.query(ReleaseQuery)
        filters: dict[str, Any] = {COLUMNS[key]: wanted[key] for key in COLUMNS if key in wanted}
        rows = Release.objects.filter(tenant=self.actor.tenant, **filters)
        if "active" in wanted:
            rows = rows.filter(phase__in=ACTIVE if wanted["active"] == "true" else TERMINAL)
        rows = rows.select_related(*document.RELATED).defer("evidence", "counters")
        return Pages("-id").answer(request, rows, document.of_releases)

    @described(
        "file_releases",
        ReleaseSerializer,
        summary="File a release",
        status=201,
        form=ReleaseForm,
        parameters=[KEY],
        more={200: ReleaseSerializer},
    )
    def create(self, request: Request, tenant: str) -> Response:
        """File a release; 200 and the same release for the same Idempotency-Key and body."""
        release, is_new = commands.file_release(
            self.actor,
            **self.content(ReleaseForm),
            idempotency_key=request.headers.get("Idempotency-Key"),
            at=self.now(),
        )
        answer = with_forecast(release, self.now())
        return Response(answer, status=201 if is_new else 200, headers={"Location": answer["url"]})

    @described(
        "forecast_releases",
        ForecastSerializer,
        summary="What to expect of a release before it is filed",
        form=ReleaseForm,
    )
    def forecast(self, request: Request, tenant: str) -> Response:
        """The same body as filing, and nothing is filed: how long it would take at the present traffic."""
        found = forecasts.of_request(self.actor, **self.content(ReleaseForm), at=self.now())
        return Response(found.to_json())

    @described("get_releases", ReleaseSerializer, summary="One release", parameters=[MATCH], more={304: None})
    def retrieve(self, request: Request, tenant: str, release: str) -> HttpResponseBase:
        """One release, with an ETag of all that is shown."""
        self.query(NoQuery)
        answer = with_forecast(find.release(self.actor, release), self.now())
        content = hashlib.sha256(JSONRenderer().render(answer)).hexdigest()[:20]
        etag = f'"{answer["row_version"]}-{content}"'
        response = Response(answer, headers={"ETag": etag, "Cache-Control": "private, no-cache"})
        return get_conditional_response(request._request, etag=etag, response=response) or response

    @described("approve_releases", ReleaseSerializer, summary="Approve", form=DecisionForm)
    def approve(self, request: Request, tenant: str, release: str) -> Response:
        """Agree to the plan and the digest as they are now."""
        return self._decide(release, DecisionForm, approve=True)

    @described("reject_releases", ReleaseSerializer, summary="Reject", form=RejectionForm)
    def reject(self, request: Request, tenant: str, release: str) -> Response:
        """Refuse the release; before traffic it ends, later it rolls back."""
        return self._decide(release, RejectionForm, approve=False)

    @described("pause_releases", ReleaseSerializer, summary="Keep the split and stop the clock", form=ActForm)
    def pause(self, request: Request, tenant: str, release: str) -> Response:
        """Keep the split and stop the hold's clock; the judge goes on."""
        return self._act(release, Act.PAUSE)

    @described("resume_releases", ReleaseSerializer, summary="Go on after a pause", form=ActForm)
    def resume(self, request: Request, tenant: str, release: str) -> Response:
        """Go on after a pause."""
        return self._act(release, Act.RESUME)

    @described("promote_releases", ReleaseSerializer, summary="Skip what is left of the hold", form=ActForm)
    def promote(self, request: Request, tenant: str, release: str) -> Response:
        """End the hold of this step now."""
        return self._act(release, Act.PROMOTE)

    @described("abort_releases", ReleaseSerializer, summary="Cancel, or roll back", form=ActForm)
    def abort(self, request: Request, tenant: str, release: str) -> Response:
        """Cancel before traffic has moved, roll back afterwards."""
        return self._act(release, Act.ABORT)

    def _act(self, release: str, act: Act) -> Response:
        changed = commands.act(self.actor, release, act, **self.content(ActForm), at=self.now())
        return Response(with_forecast(changed, self.now()))

    def _decide(self, release: str, form: type[StrictSerializer], *, approve: bool) -> Response:
        said = self.content(form)
        changed = commands.decide_approval(self.actor, release, approve=approve, **said, at=self.now())
        return Response(with_forecast(changed, self.now()))


def with_forecast(release: Release, at: datetime) -> dict[str, Any]:
    """One release with what is to be expected of it, after its verdict."""
    found = forecasts.of_release(release, at).forecast
    shown: dict[str, Any] = {}
    for name, value in document.of_release(release).items():
        shown[name] = value
        if name == "verdict":
            shown["forecast"] = found and found.to_json()
    return shown
