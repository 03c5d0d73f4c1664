"""Tenants and tiers are told apart by headers, and nobody gets in under another's name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from releases.domain.network import Callers
from releases.domain.traffic import TrafficRule, matches
from tests.istio.conftest import Mesh, environment
from tests.istio.served import HOST, Served

SERVICE = "quality"
ANY_HOST = "gateway.example"  # at ours there is nothing of Seldon's
RULES = [TrafficRule(None, "wine"), TrafficRule("premium", "wine-ensemble")]


@dataclass
class Two:
    """Two tenants with a service of the same name at the same address."""

    mesh: Mesh
    acme: Served
    globex: Served

    @property
    def service(self) -> str:
        return self.acme.service_path(SERVICE)

    def callers(self, *audiences: str) -> Callers:
        issuer = self.mesh.issuer
        return Callers(issuer=issuer.url, jwks_uri=issuer.jwks_uri, audiences=audiences)

    def token(self, tenant: str, **claims: object) -> str:
        return self.mesh.issuer.token("caller", tenant=tenant, **claims)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def both(mesh: Mesh) -> Iterator[Two]:
    """Acme: wine for all, wine-ensemble for premium; Globex: its own wine for all."""
    with environment(mesh, "acme") as acme, environment(mesh, "globex") as globex:
        of_acme = matches(SERVICE, RULES)
        for model, version in (("wine", "1.0.0"), ("wine-ensemble", "2.0.0")):
            acme.split(model, 0, acme.deploy(model, version), matches=of_acme[model])
        of_globex = matches(SERVICE, [TrafficRule(None, "wine")])
        globex.split("wine", 0, globex.deploy("wine", "3.0.0"), matches=of_globex["wine"])
        yield Two(mesh, acme, globex)


@pytest.fixture
def two(both: Two) -> Iterator[Two]:
    """Both at rest, and nobody has to prove anything yet."""
    for tenant in ("acme", "globex"):
        both.mesh.await_status(200, both.service, {"tenant": tenant})
    yield both
    for served in (both.acme, both.globex):
        served.tie(Callers())


def bearer(token: str, **headers: str) -> dict[str, str]:
    """Headers of a caller with a token; underscores stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"authorization": f"Bearer {token}", **named}


@pytest.mark.parametrize(
    ("headers", "predictor"),
    [
        ({"tenant": "acme"}, "v1-0-0"),
        ({"tenant": "acme", "customer-tier": "premium"}, "v2-0-0"),
        ({"tenant": "acme", "customer-tier": "standard"}, "v1-0-0"),
        ({"tenant": "acme", "customer-tier": "premium2"}, "v1-0-0"),
        ({"tenant": "globex"}, "v3-0-0"),
        ({"tenant": "globex", "customer-tier": "premium"}, "v3-0-0"),
    ],
)
def test_service_leads_to_the_model_of_tenant_and_tier(
    two: Two, headers: Mapping[str, str], predictor: str
) -> None:
    assert two.mesh.ask_often(10, two.service, headers) == {predictor: 10}


@pytest.mark.parametrize("headers", [{}, {"tenant": "initech"}, {"tenant": "ACME"}, {"tenant": ""}])
def test_service_without_a_known_tenant_leads_nowhere(two: Two, headers: Mapping[str, str]) -> None:
    assert two.mesh.ask(two.service, headers).status_code == 404


def test_service_follows_the_weights_of_the_model_it_leads_to(two: Two) -> None:
    acme, mesh = two.acme, two.mesh
    led = matches(SERVICE, RULES)["wine"]
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    acme.split("wine", 50, stable, candidate, led)
    mesh.await_split(two.service, {"v1-0-0", "v1-1-0"}, {"tenant": "acme"})
    counts = mesh.ask_often(200, two.service, {"tenant": "acme"})
    assert 65 <= counts["v1-1-0"] <= 135
    acme.split("wine", 0, stable, matches=led)


def test_header_of_another_tenant_is_refused_to_a_token(two: Two) -> None:
    two.acme.tie(two.callers())
    two.globex.tie(two.callers())
    mesh, ours = two.mesh, two.token("acme")
    mesh.await_status(403, two.service, {"tenant": "acme"})
    mesh.await_status(200, two.service, bearer(ours, tenant="acme"))
    mesh.await_status(403, two.service, bearer(ours, tenant="globex"))
    assert mesh.ask(two.service, bearer(two.token("globex"), tenant="globex")).status_code == 200
    assert mesh.ask(two.service, bearer(two.token("globex"), tenant="acme")).status_code == 403
    # Their own addresses are shut as well, whatever the header says.
    assert mesh.ask(two.globex.path("wine"), bearer(ours, tenant="acme")).status_code == 403
    assert mesh.ask(two.globex.path("wine"), bearer(ours, tenant="globex")).status_code == 403
    assert mesh.ask(two.acme.path("wine"), bearer(ours)).status_code == 200
    assert mesh.ask(two.acme.path("wine")).status_code == 403


def test_candidate_by_header_is_shut_to_another_tenants_token(two: Two) -> None:
    acme, mesh = two.acme, two.mesh
    led = matches(SERVICE, RULES)["wine"]
    stable, candidate = acme.deploy("wine", "1.0.0"), acme.deploy("wine", "1.1.0")
    acme.split("wine", 0, stable, candidate, led)
    acme.tie(two.callers())
    asked = {"x-portal-deployment": candidate.ref}
    mesh.await_status(403, acme.path("wine"), asked)
    mesh.await_status(200, acme.path("wine"), {**bearer(two.token("acme")), **asked})
    assert mesh.ask(acme.path("wine"), {**bearer(two.token("globex")), **asked}).status_code == 403
    acme.split("wine", 0, stable, matches=led)


def test_token_that_is_forged_expired_or_for_somebody_else_is_refused(two: Two) -> None:
    two.acme.tie(two.callers("models"))
    mesh, path = two.mesh, two.acme.path("wine")
    good = two.token("acme", aud="models")
    mesh.await_status(403, path)
    mesh.await_status(200, path, bearer(good))
    forged = mesh.stranger.token("caller", tenant="acme", aud="models")
    expired = mesh.issuer.token("caller", seconds=-120, tenant="acme", aud="models")
    head, content, signature = good.split(".")
    cut = f"{head}.{content}.{signature[:-6]}AAAAAA"
    for token in (forged, expired, cut, "nonsense"):
        assert mesh.ask(path, bearer(token)).status_code == 401
    for token in (two.token("acme"), two.token("acme", aud="others")):
        assert mesh.ask(path, bearer(token)).status_code in (401, 403)
    assert mesh.ask(path, bearer(mesh.issuer.token("caller", aud="models"))).status_code == 403


def test_issuer_of_one_tenant_cannot_speak_for_another(two: Two) -> None:
    """Tenants name their issuers themselves, and the gateway checks the tokens of all of them."""
    mesh = two.mesh
    two.acme.tie(two.callers())
    evil = mesh.other_issuer
    two.globex.tie(Callers(issuer=evil.url, jwks_uri=evil.jwks_uri))
    mesh.await_status(403, two.acme.path("wine"))
    mesh.await_status(403, two.globex.path("wine"))
    mesh.await_status(200, two.globex.path("wine"), bearer(evil.token("mallory", tenant="globex")))
    mesh.await_status(200, two.acme.path("wine"), bearer(two.token("acme")))
    pretending = bearer(evil.token("mallory", tenant="acme"), tenant="acme")
    assert mesh.ask(two.acme.path("wine"), pretending).status_code == 403
    assert mesh.ask(two.service, pretending).status_code == 403


def test_seldons_own_address_is_shut_once_callers_are_tied(two: Two) -> None:
    mesh = two.mesh
    own, other = (f"/seldon/{of.namespace}/wine/v2/models/model" for of in (two.acme, two.globex))
    mesh.await_status(200, own, host=ANY_HOST)
    two.acme.tie(two.callers())
    mesh.await_status(403, own, host=ANY_HOST)
    assert mesh.ask(own, bearer(two.token("acme")), host=ANY_HOST).status_code == 403
    assert mesh.ask(other, host=ANY_HOST).status_code == 200


def test_portal_asks_by_its_own_principal_and_others_hosts_are_left_alone(two: Two) -> None:
    mesh = two.mesh
    portal = f"{mesh.issuer.url}/portal"
    issuer = mesh.issuer
    two.acme.tie(Callers(issuer=issuer.url, jwks_uri=issuer.jwks_uri, portal=portal))
    mesh.await_status(403, two.acme.path("wine"))
    assert mesh.ask(two.acme.path("wine"), bearer(issuer.token("portal"))).status_code == 200
    assert mesh.ask(two.acme.path("wine"), bearer(issuer.token("somebody"))).status_code == 403
    # 404: no such route there, but nobody has shut it.
    assert mesh.ask(two.acme.path("wine"), host="shop.example").status_code == 404
    assert mesh.ask(two.acme.path("wine"), host=f"{HOST}:18888").status_code == 403
    assert mesh.ask(two.acme.path("wine"), host=HOST.upper()).status_code == 403
