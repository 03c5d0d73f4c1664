"""The audit log: a chain that shows every change, in a table that allows none."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from tenants import audit
from tenants.models import AuditEvent, Tenant
from tests import factories

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def chain(of: Tenant, length: int = 3) -> list[AuditEvent]:
    for number in range(length):
        audit.record(
            of,
            at=NOW + timedelta(seconds=number),
            actor="ada",
            action="model.added",
            subject=f"wine-{number}",
            detail={"position": number, "note": "größer"},
            request_id=f"r-{number}",
        )
    return list(AuditEvent.objects.filter(tenant=of).order_by("sequence"))


def test_record_links_each_event_to_the_one_before() -> None:
    first, second, third = chain(factories.tenant("acme"))
    assert [first.sequence, second.sequence, third.sequence] == [1, 2, 3]
    assert first.previous_hash == audit.GENESIS
    assert (second.previous_hash, third.previous_hash) == (first.hash, second.hash)


def test_record_each_tenant_has_a_chain_of_its_own() -> None:
    acme, globex = factories.tenant("acme"), factories.tenant("globex")
    chain(acme)
    (other,) = chain(globex, 1)
    assert (other.sequence, other.previous_hash) == (1, audit.GENESIS)


def test_chain_hash_is_what_its_description_says() -> None:
    # Computed with sha256sum over "0" * 64 followed by {"a":1,"b":"x"}.
    expected = "6b496fc2bc8371de6c10d822d284f25a1bccb5be92f063fddd84d0cb78267697"
    assert audit.chain_hash(audit.GENESIS, {"b": "x", "a": 1}) == expected


def test_first_broken_whole_chain_has_none() -> None:
    assert audit.first_broken(chain(factories.tenant("acme"))) is None


def set_detail(events: list[AuditEvent]) -> None:
    events[1].detail = {"position": 99}


def set_time(events: list[AuditEvent]) -> None:
    events[1].at += timedelta(seconds=1)


def remove(events: list[AuditEvent]) -> None:
    del events[1]


def swap(events: list[AuditEvent]) -> None:
    events[1], events[2] = events[2], events[1]


def rehash(events: list[AuditEvent]) -> None:
    """A forger who makes the hash of the changed event fit: the next one tells."""
    events[1].actor = "mallory"
    events[1].hash = audit.chain_hash(events[1].previous_hash, audit._content(events[1]))


@pytest.mark.parametrize(
    ("forge", "shows_at"), [(set_detail, 1), (set_time, 1), (remove, 1), (swap, 1), (rehash, 2)]
)
def test_first_broken_every_forgery_is_seen(forge: Callable[[list[AuditEvent]], None], shows_at: int) -> None:
    events = chain(factories.tenant("acme"))
    forge(events)
    assert audit.first_broken(events) == events[shows_at]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditevent SET actor = 'mallory'",
        "DELETE FROM tenants_auditevent",
    ],
)
def test_table_refuses_change_and_deletion_even_in_plain_sql(statement: str) -> None:
    chain(factories.tenant("acme"))
    refused = pytest.raises(IntegrityError, match="append-only")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEvent.objects.filter(actor="ada").count() == 3
