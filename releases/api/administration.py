"""The audit log and the tokens over HTTP."""

from rest_framework.request import Request
from rest_framework.response import Response

from releases.api.answers import AuditSerializer, NewTokenSerializer, TokenSerializer
from releases.api.pagination import Pages
from releases.api.requests import AuditQuery, NoQuery, TokenForm
from releases.api.schema import described, listed
from releases.api.tenant import TenantViewSet
from releases.domain.errors import Conflict, Invalid, NotFound
from tenants import tokens
from tenants.models import ApiToken, AuditEvent
from tenants.roles import Capability, Role


class AuditViews(TenantViewSet):
    """Who did what, when."""

    @listed("list_audit", AuditSerializer, summary="The audit log, newest first", parameters=[AuditQuery])
    def list(self, request: Request, tenant: str) -> Response:
        """The audit log, newest first."""
        wanted = self.query(AuditQuery)
        rows = AuditEvent.objects.filter(tenant=self.actor.tenant)
        if "after" in wanted:
            rows = rows.filter(at__gt=wanted["after"])
        rows = rows.filter(**{name: wanted[name] for name in ("action", "actor") if name in wanted})
        return Pages("-sequence").answer(request, rows, lambda page: AuditSerializer(page, many=True).data)


class TokenViews(TenantViewSet):
    """Tokens; for administrators only, reading included."""

    capabilities = {"create": Capability.ADMINISTER, "destroy": Capability.ADMINISTER}

    @listed("list_tokens", TokenSerializer, summary="The tokens, newest first")
    def list(self, request: Request, tenant: str) -> Response:
        """All tokens, revoked ones too; never their text."""
        self.actor.require(Capability.ADMINISTER)
        self.query(NoQuery)
        rows = ApiToken.objects.filter(tenant=self.actor.tenant)
        return Pages("-id").answer(request, rows, lambda page: TokenSerializer(page, many=True).data)

    @described("create_tokens", NewTokenSerializer, summary="Make a token", status=201, form=TokenForm)
    def create(self, request: Request, tenant: str) -> Response:
        """Make a token; its text is in this answer and never again."""
        form, at = self.content(TokenForm), self.now()
        if form["expires_at"] is not None and form["expires_at"] <= at:
            message = "has to be in the future"
            raise Invalid(f"expires_at: {message}", fields={"expires_at": [message]})
        try:
            token, text = tokens.create(
                self.actor.tenant,
                name=form["name"],
                role=Role(form["role"]),
                created_by=self.actor.name,
                at=at,
                expires_at=form["expires_at"],
                request_id=self.actor.request_id,
            )
        except tokens.TokenNameTaken as error:
            raise Conflict(str(error), code="token_name_taken", state={"name": form["name"]}) from error
        return Response({**TokenSerializer(token).data, "token": text}, status=201)

    @described("revoke_tokens", None, summary="Revoke a token", status=204)
    def destroy(self, request: Request, tenant: str, token: int) -> Response:
        """End a token for good."""
        found = ApiToken.objects.select_related("tenant").filter(tenant=self.actor.tenant, pk=token).first()
        if found is None:
            raise NotFound("There is no such token.")
        tokens.revoke(found, by=self.actor.name, at=self.now(), request_id=self.actor.request_id)
        return Response(status=204)
