"""What a release tells outside, over HTTP: whether it was heard, and to send it again."""

from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.pagination import Pages
from releases.api.record_answers import DeliverySerializer
from releases.api.requests import NoContent, NoQuery
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.models import Delivery
from releases.services import commands, document, find
from tenants.roles import Capability


class DeliveryViews(TenantViewSet):
    """Callbacks and statuses of commits of one release."""

    capabilities = {"resend": Capability.OPERATE}

    @listed(
        "list_deliveries", DeliverySerializer, summary="What was told to callback and commit, oldest first"
    )
    def list(self, request: Request, tenant: str, release: str) -> Response:
        """Each change of phase and where it was, or is to be, told."""
        self.query(NoQuery)
        rows = Delivery.objects.filter(release=find.release(self.actor, release)).select_related("transition")
        return Pages("id").answer(request, rows, lambda page: map(document.of_delivery, page))

    @described(
        "resend_deliveries",
        DeliverySerializer,
        summary="Send again what was given up, or at once what waits",
        form=NoContent,
    )
    def resend(self, request: Request, tenant: str, release: str, delivery: int) -> Response:
        """Now, and for another day. Later ones of the release wait for it; those already heard stay heard."""
        self.content(NoContent)
        sent = commands.resend(self.actor, release, delivery, at=self.now())
        return Response(document.of_delivery(sent))
