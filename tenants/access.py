"""The only door to a tenant: who is asking, and may they? Everything else receives an `Actor`."""

from dataclasses import dataclass, field

from tenants.models import ApiToken, Membership, Tenant, User
from tenants.roles import CAPABILITIES, Capability, Role


class NoAccess(Exception):
    """Unknown tenant or not yours: nobody can tell which."""


class NotAllowed(Exception):
    """Yours, but your role may not."""

    def __init__(self, role: Role, needed: Capability) -> None:
        able = ", ".join(r for r in Role if needed in CAPABILITIES[r])
        super().__init__(f"A {role} may not {needed} here; needed is one of: {able}.")
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone who has been let in: a member or a token of exactly one tenant."""

    tenant: Tenant
    name: str
    role: Role
    user: User | None = None
    token: ApiToken | None = None
    request_id: str = field(default="", compare=False)

    @property
    def identity(self) -> str:
        """Tells actors apart for good: a user and a token may have the same name."""
        if self.token is not None:
            return f"token:{self.token.pk}"
        return f"user:{self.user.pk}" if self.user else f"system:{self.name}"

    def may(self, capability: Capability) -> bool:
        """Whether the role has the capability."""
        return capability in CAPABILITIES[self.role]

    def require(self, capability: Capability) -> None:
        """Raise `NotAllowed` unless the role has the capability."""
        if not self.may(capability):
            raise NotAllowed(self.role, capability)


def enter(slug: str, *, user: User | None = None, token: ApiToken | None = None) -> Actor:
    """Let a user or a token into a tenant; raises `NoAccess` for strangers and unknown tenants alike."""
    if token is not None:
        if token.tenant.slug != slug:
            raise NoAccess(slug)
        return Actor(token.tenant, token.name, Role(token.role), token=token)
    if user is None or not user.is_authenticated:
        raise NoAccess(slug)
    membership = (
        Membership.objects.select_related("tenant")
        .filter(tenant__slug=slug, user=user, user__is_active=True)
        .first()
    )
    if membership is None:
        raise NoAccess(slug)
    return Actor(membership.tenant, user.username, Role(membership.role), user=user)


def tenants_of(user: User) -> list[Membership]:
    """The tenants that a person belongs to, by name."""
    return list(Membership.objects.select_related("tenant").filter(user=user).order_by("tenant__name"))
