"""Roles and the door: who may do what, and that strangers learn nothing."""

import pytest

from tenants.access import Actor, NoAccess, NotAllowed, enter, tenants_of
from tenants.models import Membership
from tenants.roles import CAPABILITIES, Capability, Role
from tests import factories

VIEW, REQUEST, APPROVE, OPERATE, ADMINISTER = Capability


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {VIEW}),
        (Role.REQUESTER, {VIEW, REQUEST}),
        (Role.APPROVER, {VIEW, APPROVE}),
        (Role.OPERATOR, {VIEW, REQUEST, OPERATE}),
        (Role.ADMINISTRATOR, {VIEW, REQUEST, APPROVE, OPERATE, ADMINISTER}),
    ],
)
def test_roles_each_role_has_exactly_its_capabilities(role: Role, allowed: set[Capability]) -> None:
    assert CAPABILITIES[role] == allowed


def test_roles_every_role_is_in_the_table() -> None:
    assert set(CAPABILITIES) == set(Role)


@pytest.mark.django_db
def test_enter_member_gets_own_role() -> None:
    cast = factories.cast()
    actor = enter("acme", user=cast.ben)
    assert (actor.tenant, actor.name, actor.role) == (cast.acme, "ben", Role.APPROVER)
    assert actor.identity == f"user:{cast.ben.pk}"


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["acme", "no-such-tenant", "", "ACME"])
def test_enter_stranger_and_unknown_tenant_are_refused_alike(slug: str) -> None:
    cast = factories.cast()
    with pytest.raises(NoAccess) as refused:
        enter(slug, user=cast.mallory)
    assert refused.value.args == (slug,)


@pytest.mark.django_db
def test_enter_nobody_is_refused() -> None:
    factories.cast()
    with pytest.raises(NoAccess):
        enter("acme")


@pytest.mark.django_db
def test_enter_deactivated_member_is_refused() -> None:
    cast = factories.cast()
    cast.ben.is_active = False
    cast.ben.save()
    with pytest.raises(NoAccess):
        enter("acme", user=cast.ben)


@pytest.mark.django_db
def test_enter_member_who_was_removed_is_refused() -> None:
    cast = factories.cast()
    Membership.objects.filter(user=cast.ben).delete()
    with pytest.raises(NoAccess):
        enter("acme", user=cast.ben)


@pytest.mark.django_db
def test_enter_token_of_another_tenant_is_refused() -> None:
    cast = factories.cast()
    token, _ = factories.token(cast.globex)
    with pytest.raises(NoAccess):
        enter("acme", token=token)


@pytest.mark.django_db
def test_enter_token_and_member_of_the_same_name_are_two_identities() -> None:
    cast = factories.cast()
    token, _ = factories.token(cast.acme, name="ben")
    by_token, by_hand = enter("acme", token=token), enter("acme", user=cast.ben)
    assert by_token.name == by_hand.name
    assert by_token.identity != by_hand.identity


@pytest.mark.django_db
def test_require_missing_capability_says_who_may() -> None:
    cast = factories.cast()
    actor: Actor = cast.actor(cast.cleo)
    with pytest.raises(NotAllowed, match=r"A viewer may not operate here.*operator, administrator"):
        actor.require(OPERATE)


@pytest.mark.django_db
def test_tenants_of_person_lists_only_own_tenants_by_name() -> None:
    cast = factories.cast()
    Membership.objects.create(tenant=cast.globex, user=cast.ben, role=Role.VIEWER)
    assert [membership.tenant.slug for membership in tenants_of(cast.ben)] == ["acme", "globex"]
    assert [membership.tenant.slug for membership in tenants_of(cast.mallory)] == ["globex"]
