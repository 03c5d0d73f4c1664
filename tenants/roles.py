"""Roles and what each may do: one table, pure."""

from enum import StrEnum


class Capability(StrEnum):
    """What can be allowed."""

    VIEW = "view"
    REQUEST = "request"
    APPROVE = "approve"
    OPERATE = "operate"
    ADMINISTER = "administer"


class Role(StrEnum):
    """What a member or a token is in a tenant."""

    VIEWER = "viewer"
    REQUESTER = "requester"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


CAPABILITIES: dict[Role, frozenset[Capability]] = {
    Role.VIEWER: frozenset({Capability.VIEW}),
    Role.REQUESTER: frozenset({Capability.VIEW, Capability.REQUEST}),
    Role.APPROVER: frozenset({Capability.VIEW, Capability.APPROVE}),
    Role.OPERATOR: frozenset({Capability.VIEW, Capability.REQUEST, Capability.OPERATE}),
    Role.ADMINISTRATOR: frozenset(Capability),
}
