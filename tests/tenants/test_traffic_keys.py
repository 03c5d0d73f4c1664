"""Traffic keys: derived and never stored, several at a time, and never none."""

import pytest
from pytest_django import Settings

from tenants import traffic_keys
from tenants.models import AuditEvent, Tenant, TrafficKey
from tests import factories

pytestmark = pytest.mark.django_db
AT = factories.moment("2026-11-24 12:00:00")


@pytest.fixture
def acme() -> Tenant:
    return factories.tenant("acme")


def make(of: Tenant) -> TrafficKey:
    return traffic_keys.make(of, by="ada", at=AT)


def keys(of: Tenant) -> tuple[str, ...]:
    return traffic_keys.keys_of([of.slug])[of.slug]


def test_keys_are_all_different_long_and_the_newest_first(acme: Tenant) -> None:
    globex = factories.tenant("globex")
    first, second, other = make(acme), make(acme), make(globex)
    assert keys(acme) == (traffic_keys.text_of("acme", second.sequence), traffic_keys.text_of("acme", 1))
    assert (first.sequence, second.sequence, other.sequence) == (1, 2, 1)
    texts = {*keys(acme), *keys(globex)}
    assert len(texts) == 3
    assert all(text.startswith("mlk_") and len(text) == 47 for text in texts)


def test_keys_are_others_with_another_secret_of_the_portal(acme: Tenant, settings: Settings) -> None:
    make(acme)
    before = keys(acme)
    settings.SECRET_KEY = "another secret"
    assert keys(acme) != before


def test_key_that_is_retired_is_gone_and_told_with_its_reason(acme: Tenant) -> None:
    make(acme)
    newest = make(acme)
    traffic_keys.retire(acme, 1, reason="the old batch job", by="ada", at=AT)
    assert keys(acme) == (traffic_keys.text_of("acme", newest.sequence),)
    event = AuditEvent.objects.order_by("-sequence")[0]
    assert (event.action, event.subject) == ("traffic_key.retired", "traffic key 1")
    assert event.detail == {"reason": "the old batch job"}


def test_last_living_key_cannot_be_retired(acme: Tenant) -> None:
    make(acme)
    with pytest.raises(traffic_keys.NotPossible, match=r"key 1 is the only one.*Make another one first"):
        traffic_keys.retire(acme, 1, reason="x", by="ada", at=AT)
    assert len(keys(acme)) == 1


@pytest.mark.parametrize("sequence", [1, 3, 99])
def test_key_that_does_not_live_cannot_be_retired(acme: Tenant, sequence: int) -> None:
    globex = factories.tenant("globex")
    for of in (acme, acme, globex, globex, globex):
        make(of)
    traffic_keys.retire(acme, 1, reason="x", by="ada", at=AT)
    events = AuditEvent.objects.count()
    with pytest.raises(traffic_keys.NotPossible, match=f"no living traffic key {sequence}"):
        traffic_keys.retire(acme, sequence, reason="x", by="ada", at=AT)
    assert AuditEvent.objects.count() == events


def test_number_of_a_retired_key_is_not_given_again(acme: Tenant) -> None:
    make(acme)
    make(acme)
    traffic_keys.retire(acme, 2, reason="x", by="ada", at=AT)
    assert make(acme).sequence == 3


def test_text_of_a_key_is_nowhere_in_the_audit_log(acme: Tenant) -> None:
    make(acme)
    make(acme)
    traffic_keys.retire(acme, 1, reason="x", by="ada", at=AT)
    told = str(list(AuditEvent.objects.values()))
    assert "mlk_" not in told
