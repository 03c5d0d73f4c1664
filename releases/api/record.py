"""What is kept of a release, over HTTP: history, samples, checks, approvals, evidence."""

from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.pagination import Pages
from releases.api.record_answers import (
    ApprovalSerializer,
    CheckSerializer,
    EvidenceDocumentSerializer,
    SampleSerializer,
    TransitionSerializer,
)
from releases.api.requests import AfterQuery, NoQuery
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.models import Approval, Sample, Transition, ValidationCheck
from releases.services import document, evidence_export, find


class RecordViews(TenantViewSet):
    """The record of one release."""

    @listed("list_transitions", TransitionSerializer, summary="The history, oldest first")
    def transitions(self, request: Request, tenant: str, release: str) -> Response:
        """The history, oldest first."""
        self.query(NoQuery)
        rows = Transition.objects.filter(release=find.release(self.actor, release))
        return Pages("sequence").answer(request, rows, lambda page: map(document.of_transition, page))

    @listed("list_samples", SampleSerializer, summary="The samples, oldest first", parameters=[AfterQuery])
    def samples(self, request: Request, tenant: str, release: str) -> Response:
        """The time series, a row per second and arm, oldest first."""
        wanted = self.query(AfterQuery)
        rows = Sample.objects.filter(release=find.release(self.actor, release))
        if "after" in wanted:
            rows = rows.filter(at__gt=wanted["after"])
        return Pages("at", "arm").answer(request, rows, lambda page: map(document.of_sample, page))

    @listed("list_checks", CheckSerializer, summary="The validation and the smoke test, check by check")
    def checks(self, request: Request, tenant: str, release: str) -> Response:
        """What was checked, and how it went."""
        self.query(NoQuery)
        rows = ValidationCheck.objects.filter(release=find.release(self.actor, release))
        return Pages("id").answer(request, rows, lambda page: map(document.of_check, page))

    @listed("list_approvals", ApprovalSerializer, summary="Who decided what")
    def approvals(self, request: Request, tenant: str, release: str) -> Response:
        """Who approved or rejected, oldest first."""
        self.query(NoQuery)
        found = find.release(self.actor, release)
        rows = Approval.objects.filter(release=found)
        return Pages("id").answer(
            request, rows, lambda page: [document.of_approval(approval, found) for approval in page]
        )

    @described("get_evidence", EvidenceDocumentSerializer, summary="The whole record as one document")
    def evidence(self, request: Request, tenant: str, release: str) -> Response:
        """The whole record with the chain's hashes, to be kept and verified elsewhere."""
        self.query(NoQuery)
        found = find.release(self.actor, release)
        name = f'attachment; filename="release-{found.pk}.json"'
        exported = evidence_export.export(found, at=self.now())
        return Response(exported, headers={"Content-Disposition": name})
