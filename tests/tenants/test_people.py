"""Tenants and members from the command line: what is made, what is refused, what the audit says."""

import pytest
from django.utils import timezone

from tenants import people
from tenants.models import AuditEvent, Membership, Tenant, User
from tenants.roles import Role

pytestmark = pytest.mark.django_db
BY = "somebody"


def make(slug: str = "acme") -> Tenant:
    return people.create_tenant(slug, name="Acme", by=BY, at=timezone.now())


def add(tenant: Tenant, username: str, role: Role) -> people.Added:
    return people.add_member(tenant, username, role, by=BY, at=timezone.now())


def actions(tenant: Tenant) -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(tenant=tenant).order_by("sequence")
    return list(rows.values_list("action", "subject"))


def test_create_tenant_makes_it_and_audits() -> None:
    tenant = make()

    assert Tenant.objects.get().name == "Acme"
    assert actions(tenant) == [("tenant.created", "acme"), ("traffic_key.made", "traffic key 1")]


@pytest.mark.parametrize("slug", ["acme", "Acme!", "", "-a", "a" * 41])
def test_create_tenant_with_a_taken_or_bad_slug_is_refused(slug: str) -> None:
    make()

    with pytest.raises(people.NotPossible, match=r"^Tenant "):
        make(slug)
    assert Tenant.objects.count() == 1


def test_tenant_unknown_names_those_there_are() -> None:
    make()

    with pytest.raises(people.NotPossible, match="there is: acme"):
        people.tenant("globex")


def test_add_member_unknown_person_can_log_in_with_the_password() -> None:
    added = add(make(), "ben", Role.APPROVER)

    assert added.password is not None
    assert len(added.password) == 16
    assert User.objects.get(username="ben").check_password(added.password)
    assert added.membership.role == "approver"


def test_add_member_known_person_keeps_the_password() -> None:
    first = add(make(), "ben", Role.APPROVER)
    second = add(make("globex"), "ben", Role.VIEWER)

    assert second.password is None
    assert User.objects.get().check_password(str(first.password))
    assert Membership.objects.count() == 2


def test_add_member_twice_changes_nothing() -> None:
    tenant = make()
    add(tenant, "ben", Role.APPROVER)
    before = actions(tenant)

    add(tenant, "ben", Role.APPROVER)

    assert actions(tenant) == before
    assert Membership.objects.count() == 1


def test_add_member_with_another_role_changes_it_and_audits() -> None:
    tenant = make()
    add(tenant, "ben", Role.APPROVER)

    add(tenant, "ben", Role.VIEWER)

    assert Membership.objects.get().role == "viewer"
    last = AuditEvent.objects.filter(tenant=tenant).latest("sequence")
    assert (last.action, last.detail) == ("member.changed", {"role": "viewer", "before": "approver"})


@pytest.mark.parametrize("username", ["", "no spaces", "x" * 151])
def test_add_member_with_an_impossible_name_is_refused(username: str) -> None:
    with pytest.raises(people.NotPossible, match=r"^User "):
        add(make(), username, Role.VIEWER)
    assert not User.objects.exists()
