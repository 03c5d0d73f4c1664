"""Keys and routes: who opens what, how a new key gets there, and what callers and the portal send."""

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from mlops_portal.checks import check_gateway_token
from releases.domain.errors import Conflict, NotFound
from releases.domain.routing import fingerprint
from releases.models import Endpoint, KubernetesPlace
from releases.ports import Answer
from releases.services import commands, document
from releases.services.entrances import entrances
from releases.services.smoke import smoke_progress, smoke_test
from releases.services.traffic import doors
from tenants import traffic_keys
from tenants.access import NotAllowed
from tenants.models import AuditEvent, Tenant
from tests import factories
from tests.services.rig import Rig


def key(of: Tenant) -> str:
    """Another key of the tenant: its text."""
    row = traffic_keys.make(of, by="ada", at=factories.moment("2026-11-24 12:00:00"))
    return traffic_keys.text_of(of.slug, row.sequence)


def on_kubernetes(endpoint: Endpoint, **changes: object) -> Endpoint:
    """The environment of the endpoint is on a cluster."""
    place = endpoint.environment
    place.target = "seldon"
    place.save()
    KubernetesPlace.objects.create(
        tenant=endpoint.tenant,
        environment=place,
        cluster="dev",
        namespace=f"ns-{place.pk}",
        gateway_url="https://models.example.org/",
        artifacts="s3://models/acme",
        artifacts_secret="s3",
        **changes,
    )
    return endpoint


def wine(rig: Rig) -> Endpoint:
    return factories.endpoint(rig.production, rig.model)


# ---- which keys open which route -----------------------------------------------------------------
def test_route_is_opened_by_all_living_keys_of_its_tenant_and_by_no_others(rig: Rig) -> None:
    other = factories.environment(rig.cast.globex)
    beer = factories.endpoint(other, factories.model(rig.cast.globex, "beer"))
    keys = [key(rig.cast.acme), key(rig.cast.acme)]
    of_globex = key(rig.cast.globex)
    here = wine(rig)
    assert doors([here, beer]).access == {
        here.pk: fingerprint(keys),
        beer.pk: fingerprint([of_globex]),
    }


def test_route_of_a_tenant_without_a_key_is_shut_rather_than_open(rig: Rig) -> None:
    endpoint = wine(rig)
    assert doors([endpoint]).access == {endpoint.pk: fingerprint([])} != {endpoint.pk: ""}


def test_keys_do_not_open_anything_on_a_cluster(rig: Rig) -> None:
    key(rig.cast.acme)
    assert doors([on_kubernetes(wine(rig))]).access == {}


def test_doors_of_many_endpoints_cost_two_queries(
    rig: Rig, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    endpoints = [
        factories.endpoint(rig.production, factories.model(rig.cast.acme, f"m{n}")) for n in range(5)
    ]
    with django_assert_num_queries(2):
        doors(endpoints)


# ---- a key comes, a key goes ---------------------------------------------------------------------
def test_key_that_is_made_or_retired_reaches_the_route_by_the_next_sweep(rig: Rig) -> None:
    old = key(rig.cast.acme)
    route = rig.serve(rig.register()).route
    rig.sweep()
    assert rig.world.router.in_effect[route].access == fingerprint([old])
    events = AuditEvent.objects.filter(action="endpoint.repaired").count()
    commands.make_traffic_key(rig.ada, at=rig.at)
    rig.sweep()
    new = traffic_keys.text_of("acme", 2)
    assert rig.world.router.in_effect[route].access == fingerprint([old, new])
    commands.retire_traffic_key(rig.ada, 1, reason="it leaked", at=rig.at)
    rig.sweep()
    assert rig.world.router.in_effect[route].access == fingerprint([new])
    # Nobody has meddled with the traffic: that is no repair.
    assert AuditEvent.objects.filter(action="endpoint.repaired").count() == events


def test_key_that_is_made_in_a_canary_reaches_the_route_and_its_hold_goes_on(rig: Rig) -> None:
    first = key(rig.cast.acme)
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "canary")
    rig.tick()
    release.refresh_from_db()
    since, route = release.hold_since, release.endpoint.route
    assert since is not None
    commands.make_traffic_key(rig.ada, at=rig.at)
    rig.tick()
    setting = rig.world.router.in_effect[route]
    assert setting.access == fingerprint([first, traffic_keys.text_of("acme", 2)])
    release.refresh_from_db()
    assert (release.phase, release.hold_since, setting.split.candidate) == ("canary", since, 40)


def test_key_that_is_retired_while_a_version_is_deployed_does_not_wait_for_it(rig: Rig) -> None:
    key(rig.cast.acme)
    kept = key(rig.cast.acme)
    rig.serve(rig.register())
    rig.world.target.reads_until_ready = 10_000
    release = rig.run(rig.file(rig.register()), "deploying")
    before = rig.world.router.in_effect[release.endpoint.route]
    commands.retire_traffic_key(rig.ada, 1, reason="it leaked", at=rig.at)
    rig.sweep()
    assert rig.world.router.in_effect[release.endpoint.route] == replace(before, access=fingerprint([kept]))
    applied = len(rig.world.router.applied)
    rig.sweep()
    assert len(rig.world.router.applied) == applied


def test_key_that_is_retired_while_the_target_is_away_is_shut_out_all_the_same(rig: Rig) -> None:
    key(rig.cast.acme)
    kept = key(rig.cast.acme)
    endpoint = rig.serve(rig.register())
    before = rig.world.router.in_effect[endpoint.route]
    # The supervisor is there and does not say where the model is: it is being started anew.
    rig.world.target.remove(before.stable.ref if before.stable else "")
    rig.works = False
    commands.retire_traffic_key(rig.ada, 1, reason="it leaked", at=rig.at)
    repaired = AuditEvent.objects.filter(action="endpoint.repaired").count()
    rig.sweep()
    assert rig.world.router.in_effect[endpoint.route] == replace(before, access=fingerprint([kept]))
    assert AuditEvent.objects.filter(action="endpoint.repaired").count() == repaired


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_keys_are_for_administrators_only(rig: Rig, name: str) -> None:
    actor = rig.cast.actor(getattr(rig.cast, name))
    with pytest.raises(NotAllowed):
        commands.make_traffic_key(actor, at=rig.at)
    with pytest.raises(NotAllowed):
        commands.retire_traffic_key(actor, 1, reason="x", at=rig.at)


def test_key_of_another_tenant_cannot_be_retired(rig: Rig) -> None:
    key(rig.cast.acme)
    for _ in range(3):
        key(rig.cast.globex)
    with pytest.raises(NotFound):
        commands.retire_traffic_key(rig.ada, 3, reason="x", at=rig.at)
    assert len(traffic_keys.keys_of(["globex"])["globex"]) == 3


def test_last_key_stays_and_a_sixth_is_refused(rig: Rig) -> None:
    key(rig.cast.acme)
    with pytest.raises(Conflict, match="Make another one first"):
        commands.retire_traffic_key(rig.ada, 1, reason="x", at=rig.at)
    for _ in range(4):
        commands.make_traffic_key(rig.ada, at=rig.at)
    with pytest.raises(Conflict, match="5 keys live already"):
        commands.make_traffic_key(rig.ada, at=rig.at)


# ---- what callers send ---------------------------------------------------------------------------
def test_caller_at_the_local_gateway_sends_the_newest_key(rig: Rig, settings: Settings) -> None:
    settings.GATEWAY_URL = "http://gateway.test"
    endpoint = wine(rig)
    key(rig.cast.acme)
    newest = key(rig.cast.acme)
    told = document.of_endpoints([endpoint], rig.at)[0]
    assert told["url"] == "http://gateway.test/acme/production/v2/models/wine"
    assert told["headers"] == {"x-api-key": newest}


@pytest.mark.parametrize(
    ("callers", "headers"),
    [
        ({}, {}),
        ({"jwt_issuer": "https://issuer", "jwks_uri": "https://issuer/keys"}, {"tenant": "acme"}),
        ({"caller_namespaces": ["shop"]}, {"tenant": "acme"}),
    ],
)
def test_caller_at_a_cluster_sends_the_tenant_where_that_is_checked(
    rig: Rig, callers: dict[str, object], headers: dict[str, str]
) -> None:
    key(rig.cast.acme)
    told = document.of_endpoints([on_kubernetes(wine(rig), **callers)], rig.at)[0]
    assert told["url"] == "https://models.example.org/acme/production/v2/models/wine"
    assert told["headers"] == headers


def test_entrances_of_many_endpoints_cost_two_queries(
    rig: Rig, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key(rig.cast.acme)
    there = on_kubernetes(factories.endpoint(rig.staging, rig.model))
    here = [factories.endpoint(rig.production, factories.model(rig.cast.acme, f"m{n}")) for n in range(3)]
    with django_assert_num_queries(2):
        assert len(entrances([there, *here])) == 4


# ---- what the smoke test sends -------------------------------------------------------------------
def asked(rig: Rig, **place: object) -> tuple[str, dict[str, str]]:
    """A release whose smoke test has run: its reason, and the headers of its last request."""
    rig.world.gateway.reachable = False
    release = rig.run(rig.file(rig.register()), "smoke_testing")
    rig.works, rig.world.gateway.reachable = False, True
    release.checks.filter(stage="smoke").delete()
    rig.world.gateway.calls.clear()
    if place:
        on_kubernetes(Endpoint.objects.get(pk=release.endpoint_id), **place)
    smoke_test(release.pk, rig.world.ports, rig.clock)
    calls = rig.world.gateway.calls
    return smoke_progress([release])[release.pk].reason, dict(calls[-1].headers) if calls else {}


def test_smoke_shows_a_key_of_the_tenant(rig: Rig) -> None:
    text = key(rig.cast.acme)
    _, headers = asked(rig)
    assert headers["x-api-key"] == text
    assert headers.keys() == {"x-api-key", "x-portal-deployment"}


@pytest.mark.parametrize("status", [401, 403])
def test_smoke_whose_key_the_gateway_does_not_know_yet_asks_again(rig: Rig, status: int) -> None:
    rig.world.gateway.respond = lambda call: Answer(status, {"error": "the key does not open this"}, 0.001)
    reason, _ = asked(rig)
    assert reason == f"no answer yet: the gateway says {status}: the key does not open this"


@pytest.fixture
def token(tmp_path: Path, settings: Settings) -> Path:
    """The portal's token, for the gateway of the rig's router."""
    file = tmp_path / "token"
    file.write_text("first\n")
    settings.GATEWAY_TOKEN_FILE = str(file)
    settings.GATEWAY_TOKEN_HOSTS = ["gateway.test"]
    return file


TIED = {"jwt_issuer": "https://issuer", "jwks_uri": "https://issuer/keys"}


def test_smoke_at_a_cluster_says_whose_model_it_is_and_shows_the_token_of_now(rig: Rig, token: Path) -> None:
    token.write_text("renewed\n")
    _, headers = asked(rig, **TIED)
    assert headers["authorization"] == "Bearer renewed"
    assert headers["tenant"] == "acme"


def test_smoke_does_not_show_the_token_to_a_host_that_a_tenant_has_named(
    rig: Rig, token: Path, settings: Settings
) -> None:
    settings.GATEWAY_TOKEN_HOSTS = ["models.example.org"]  # the router's is gateway.test
    _, headers = asked(rig, **TIED)
    assert "authorization" not in headers


def test_smoke_does_not_show_the_token_at_the_local_gateway(rig: Rig, token: Path) -> None:
    _, headers = asked(rig)
    assert "authorization" not in headers


def test_smoke_without_its_token_file_waits_and_says_so(rig: Rig, token: Path) -> None:
    token.unlink()
    reason, headers = asked(rig, **TIED)
    assert reason.startswith("no answer yet: GATEWAY_TOKEN_FILE cannot be read: ")
    assert headers == {}


@pytest.mark.parametrize(
    ("file", "hosts", "is_right"),
    [
        ("", [], True),
        ("/token", ["models.example.org"], True),
        ("/token", [], False),
        ("", ["models.example.org"], False),
        ("/token", ["https://models.example.org"], False),
        ("/token", ["models.example.org:443"], False),
    ],
)
def test_token_and_its_hosts_are_checked_together(
    settings: Settings, file: str, hosts: list[str], is_right: bool
) -> None:
    settings.GATEWAY_TOKEN_FILE, settings.GATEWAY_TOKEN_HOSTS = file, hosts
    assert [error.id for error in check_gateway_token()] == ([] if is_right else ["mlops_portal.E004"])
