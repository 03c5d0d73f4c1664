"""Replays over HTTP: past releases in the eyes of a plan, and a release's samples as a recording.

Nothing here changes anything, so whoever may read may replay.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.replay_answers import RetrospectiveSerializer
from releases.api.requests import NoQuery, PlanField, StrictSerializer
from releases.api.schema import described
from releases.api.tenant import TenantViewSet
from releases.domain.replay import write_line
from releases.models import Release
from releases.services import document, find
from releases.services.recordings import recorded
from releases.services.retrospective import Retrospective, Said, look_back
from tenants.roles import Capability

NDJSON = "application/x-ndjson"


class ReplayForm(StrictSerializer):
    """The plan to look back with."""

    plan = PlanField(required=False, allow_null=True, default=None)


class NdjsonRenderer(BaseRenderer):
    """Lets a caller ask for JSON Lines; the lines themselves are written one by one."""

    media_type = NDJSON
    format = "ndjson"


class RetrospectiveViews(TenantViewSet):
    """The last releases of an endpoint."""

    capabilities = {"replay": Capability.VIEW}

    @described(
        "replay_endpoints",
        RetrospectiveSerializer,
        summary="What a plan would have said of the last ten releases",
        form=ReplayForm,
    )
    def replay(self, request: Request, tenant: str, environment: str, model: str) -> Response:
        """Judge the kept samples of the last ten finished releases that had traffic by a plan: any part of
        one, over the environment's defaults. Holds do not matter: each ends at its first decision."""
        wanted = self.content(ReplayForm)["plan"]
        endpoint = find.endpoint(self.actor, environment, model)
        return Response(_of_retrospective(look_back(endpoint, endpoint.environment.plan(wanted)), tenant))


class RecordingViews(TenantViewSet):
    """The samples of one release, to be replayed elsewhere."""

    renderer_classes = (NdjsonRenderer, JSONRenderer)

    @described(
        "record_releases",
        OpenApiTypes.STR,
        summary="The samples as a recording for manage.py replay, one a line",
        status=(200, NDJSON),
    )
    def recording(self, request: Request, tenant: str, release: str) -> StreamingHttpResponse:
        """JSON Lines, oldest first: `{"t": seconds, "stable": ARM, "candidate": ARM}`, where an arm holds
        `requests`, `errors`, `latency_ms` and `predictions`, or is null when it could not be read."""
        self.query(NoQuery)
        found = find.release(self.actor, release)
        name = f'attachment; filename="release-{found.pk}.jsonl"'
        headers = {"Content-Disposition": name}
        return StreamingHttpResponse(_lines(found), content_type=NDJSON, headers=headers)


def _lines(release: Release) -> Iterator[str]:
    for one in recorded(release):
        yield write_line(one) + "\n"


def _of_retrospective(looked: Retrospective, tenant: str) -> dict[str, Any]:
    return {
        "plan": looked.plan.to_json(),
        "releases": [_of_said(said, tenant) for said in looked.releases],
        "sentence": looked.sentence,
    }


def _of_said(said: Said, tenant: str) -> dict[str, Any]:
    ending = said.ending
    return {
        "release": said.release.pk,
        "version": said.release.version.version,
        "url": settings.PORTAL_URL + reverse("api:release", args=[tenant, said.release.pk]),
        "happened": {
            "phase": said.happened.phase.value,
            "at": document.moment(said.happened.at),
            "after_seconds": said.happened.seconds,
            "reason": said.happened.reason,
        },
        "verdict": ending
        and {
            "kind": ending.verdict.kind.value,
            "after_seconds": ending.at,
            "summary": ending.verdict.summary,
            "driven_by": list(ending.verdict.driven_by),
        },
        "sampled_seconds": said.sampled_seconds,
        "note": said.note,
    }
