"""Who reaches which model through the Envoy router, by address, tenant, tier and key: real requests.

Acme has wine (red) and cider (cider), globex has wine (white). Both have a service `quality`: acme's leads
premium callers to cider and all others to wine, globex's leads all to wine. `lonely` leads premium callers
of acme only.
"""

import http.client
import json
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from releases.adapters.envoy_admin import EnvoyAdmin
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting, fingerprint
from releases.domain.traffic import ServiceMatch
from tests.adapters.engines import Gateway, Model, model

pytestmark = pytest.mark.stack

WINE, CIDER = Route("acme", "production", "wine"), Route("acme", "production", "cider")
THEIRS = Route("globex", "production", "wine")
OWN, FOREIGN = "/acme/production/v2/models/wine/infer", "/globex/production/v2/models/wine/infer"
QUALITY, LONELY = (f"/services/production/v2/models/{name}/infer" for name in ("quality", "lonely"))
ACME, GLOBEX = ("tenant", "acme"), ("tenant", "globex")
KEY, SECOND, THEIR_KEY = (("x-api-key", text) for text in ("mlk_acme-1", "mlk_acme-2", "mlk_globex-1"))
PREMIUM, STANDARD = ("customer-tier", "premium"), ("customer-tier", "standard")
Pair = tuple[str, str]


@dataclass
class Scene:
    envoy: Gateway
    models: dict[str, Model]
    keys: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"acme": ("mlk_acme-1", "mlk_acme-2"), "globex": ("mlk_globex-1",)}
    )

    def __post_init__(self) -> None:
        layout = self.envoy.layout
        config = EnvoyRouterConfig(str(layout.envoy_admin), layout.xds, self.envoy.url, keys_of=self.keys_of)
        self.router = EnvoyRouter(config)

    def keys_of(self, tenants: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {tenant: self.keys[tenant] for tenant in tenants}

    def setting(self, route: Route) -> RouteSetting:
        """What is wanted of a route: stable alone, its services, its tenant's keys."""
        name, matches = {
            WINE: ("red", (ServiceMatch("quality", "", ("premium",)),)),
            CIDER: ("cider", (ServiceMatch("lonely", "premium"), ServiceMatch("quality", "premium"))),
            THEIRS: ("white", (ServiceMatch("quality"),)),
        }[route]
        arm = Arm(f"serves-{name}", self.models[name].address)
        access = fingerprint(self.keys[route.tenant])
        return RouteSetting(TrafficSplit(0), arm, None, matches=matches, access=access)

    def apply(self, *routes: Route) -> dict[Route, RouteSetting]:
        wanted = {route: self.setting(route) for route in routes}
        self.router.apply(wanted)
        return wanted

    def ask(self, path: str, *headers: Pair) -> tuple[int, str]:
        """Status and, of a model, its name; of the gateway, its sentence. Headers may be repeated."""
        status, said, _ = self.answer(path, *headers)
        return status, said.get("model_name") or said["error"]

    def answer(self, path: str, *headers: Pair) -> tuple[int, dict[str, Any], list[Pair]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.port, timeout=10)
        connection.putrequest("POST", path)
        for name, value in (*headers, ("content-length", "2")):
            connection.putheader(name, value)
        connection.endheaders(b"{}")
        response = connection.getresponse()
        said = json.loads(response.read())
        connection.close()
        kept = [(n.lower(), v) for n, v in response.getheaders() if n.lower() != "date"]
        return response.status, said, kept


@pytest.fixture
def scene(envoy: Gateway, red: Model, white: Model) -> Iterator[Scene]:
    if envoy.process is None:
        envoy.start()
    with model("cider") as cider:
        made = Scene(envoy, {"red": red, "white": white, "cider": cider})
        made.apply(WINE, CIDER, THEIRS)
        yield made
        made.router.remove([WINE, CIDER, THEIRS])


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


NO_KEY = (
    401,
    "the header x-api-key is missing: it holds a traffic key of the tenant whose model is called",
)
WRONG_KEY = (401, "the key in the header x-api-key does not open this address")
NO_TENANT = (400, "the header tenant is missing: it says whose service is called")
NO_SERVICE = (404, "no service of this name answers in this environment, or none for this customer-tier")
NO_MODEL = (404, "no model is served at this address")


# ---- a model's own address -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((KEY,), (200, "red")),
        ((SECOND,), (200, "red")),
        ((("X-API-Key", KEY[1]),), (200, "red")),
        ((), NO_KEY),
        ((("x-api-key", ""),), WRONG_KEY),
        ((("x-api-key", "mlk_made-up"),), WRONG_KEY),
        ((("x-api-key", KEY[1].upper()),), WRONG_KEY),
        ((THEIR_KEY,), WRONG_KEY),
        ((THEIR_KEY, ACME), WRONG_KEY),
        # Of several keys the first one counts.
        ((KEY, THEIR_KEY), (200, "red")),
        ((THEIR_KEY, KEY), WRONG_KEY),
        ((("authorization", f"Bearer {KEY[1]}"),), NO_KEY),
        ((("cookie", f"x-api-key={KEY[1]}"),), NO_KEY),
    ],
)
def test_models_address_is_opened_by_a_key_of_its_tenant_only(
    scene: Scene, headers: tuple[Pair, ...], expected: tuple[int, str]
) -> None:
    assert scene.ask(OWN, *headers) == expected


def test_key_in_the_address_opens_nothing(scene: Scene) -> None:
    assert scene.ask(f"{OWN}?x-api-key={KEY[1]}") == NO_KEY


def test_candidate_by_header_needs_the_key_like_everybody(scene: Scene) -> None:
    candidate = Arm("serves-new", scene.models["white"].address)
    scene.router.apply({WINE: replace(scene.setting(WINE), candidate=candidate)})
    probe = ("x-portal-deployment", candidate.ref)
    assert scene.ask(OWN, probe, KEY) == (200, "white")
    assert scene.ask(OWN, probe) == NO_KEY
    assert scene.ask(OWN, probe, THEIR_KEY) == WRONG_KEY


def test_model_sees_whose_key_it_was_and_not_the_key(scene: Scene) -> None:
    assert scene.ask(OWN, KEY, GLOBEX, ("tenant", "initech")) == (200, "red")
    seen = scene.models["red"].headers[-1]
    assert [value for name, value in seen if name == "tenant"] == ["acme"]
    assert "mlk_" not in str(seen)


def test_copy_for_a_shadow_has_no_key_either(scene: Scene) -> None:
    shadow = Arm("serves-shadow", scene.models["cider"].address)
    split = TrafficSplit(0, shadow=True)
    scene.router.apply({WINE: replace(scene.setting(WINE), candidate=shadow, split=split)})
    before = len(scene.models["cider"].headers)
    assert scene.ask(OWN, KEY) == (200, "red")
    assert eventually(lambda: len(scene.models["cider"].headers) > before)
    assert "mlk_" not in str(scene.models["cider"].headers[-1])


def test_route_with_no_version_asks_for_the_key_before_it_says_so(scene: Scene) -> None:
    scene.router.apply({WINE: replace(scene.setting(WINE), stable=None)})
    sentence = (503, "no version of wine is released in production")
    assert scene.ask(OWN, KEY) == scene.ask(QUALITY, KEY, ACME) == sentence
    assert scene.ask(OWN) == NO_KEY
    assert scene.ask(QUALITY, ACME, THEIR_KEY) == WRONG_KEY


def test_route_that_is_open_to_all_asks_nobody_for_a_key(scene: Scene) -> None:
    scene.router.apply({WINE: replace(scene.setting(WINE), access="")})
    assert scene.router.read([WINE])[WINE] == replace(scene.setting(WINE), access="")
    assert scene.ask(OWN) == (200, "red")


# ---- services ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (QUALITY, (ACME, KEY), (200, "red")),
        (QUALITY, (ACME, KEY, PREMIUM), (200, "cider")),
        (QUALITY, (ACME, KEY, STANDARD), (200, "red")),
        (QUALITY, (ACME, KEY, ("customer-tier", "gold")), (200, "red")),
        (QUALITY, (ACME, KEY, ("customer-tier", "")), (200, "red")),
        (QUALITY, (ACME, KEY, ("customer-tier", "Premium")), (200, "red")),
        # Every value of a repeated header counts: this one is premium among other things.
        (QUALITY, (ACME, KEY, STANDARD, PREMIUM), (200, "cider")),
        (QUALITY, (GLOBEX, THEIR_KEY), (200, "white")),
        (QUALITY, (GLOBEX, THEIR_KEY, PREMIUM), (200, "white")),
        (QUALITY, (("Tenant", " acme "), KEY), (200, "red")),
        (LONELY, (ACME, KEY, PREMIUM), (200, "cider")),
    ],
)
def test_service_leads_by_tenant_and_tier(
    scene: Scene, path: str, headers: tuple[Pair, ...], expected: tuple[int, str]
) -> None:
    assert scene.ask(path, *headers) == expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        # Somebody else's name with a key of one's own, and the other way round.
        (QUALITY, (ACME, THEIR_KEY), WRONG_KEY),
        (QUALITY, (GLOBEX, KEY), WRONG_KEY),
        (QUALITY, (ACME,), NO_KEY),
        (QUALITY, (ACME, PREMIUM, THEIR_KEY), WRONG_KEY),
        (QUALITY, (KEY,), NO_TENANT),
        (QUALITY, (), NO_TENANT),
        (QUALITY, (("tenant", ""), KEY), NO_TENANT),
        (QUALITY, (("tenant", "ACME"), KEY), WRONG_KEY),
        (QUALITY, (("tenant", "acme,globex"), KEY), WRONG_KEY),
        (QUALITY, (("tenant", "initech"), KEY), WRONG_KEY),
        (QUALITY, (("tenant", "initech"),), NO_KEY),
        (LONELY, (ACME, KEY), NO_SERVICE),
        (LONELY, (ACME, KEY, STANDARD), NO_SERVICE),
        (LONELY, (GLOBEX, THEIR_KEY, PREMIUM), NO_SERVICE),
        (LONELY, (ACME, PREMIUM), NO_KEY),
        ("/services/staging/v2/models/quality/infer", (ACME, KEY), NO_SERVICE),
        ("/services/production/v2/models/quality-2/infer", (ACME, KEY), NO_SERVICE),
        ("/services/production/v2/models/quality-2/infer", (ACME, THEIR_KEY), WRONG_KEY),
        ("/services", (ACME, KEY), NO_MODEL),
        ("/acme/production/v2/models/perry/infer", (KEY,), NO_MODEL),
        ("/", (), NO_MODEL),
    ],
)
def test_service_refuses_in_words_what_it_cannot_lead(
    scene: Scene, path: str, headers: tuple[Pair, ...], expected: tuple[int, str]
) -> None:
    assert scene.ask(path, *headers) == expected


@pytest.mark.parametrize("headers", [(), (("x-api-key", "mlk_made-up"),), (THEIR_KEY,)])
def test_tenant_that_is_unknown_is_answered_like_one_that_is_known(
    scene: Scene, headers: tuple[Pair, ...]
) -> None:
    known = scene.answer(QUALITY, ACME, *headers)
    assert known == scene.answer(QUALITY, ("tenant", "initech"), *headers)
    assert known == scene.answer(LONELY, ACME, *headers)
    assert ("content-type", "application/json") in known[2]


@pytest.mark.parametrize("names", [(ACME, GLOBEX), (GLOBEX, ACME)])
def test_request_for_two_tenants_reaches_at_most_the_one_whose_key_it_shows(
    scene: Scene, names: tuple[Pair, ...]
) -> None:
    assert scene.ask(QUALITY, *names, KEY) in [(200, "red"), WRONG_KEY]
    assert scene.ask(QUALITY, *names, THEIR_KEY) in [(200, "white"), WRONG_KEY]
    assert scene.ask(QUALITY, *names) == NO_KEY


def test_service_reaches_the_model_at_the_models_own_path(scene: Scene) -> None:
    scene.ask(QUALITY, ACME, KEY)
    assert scene.models["red"].paths[-1] == "/v2/models/wine/infer"


def test_service_is_split_like_the_models_own_address(scene: Scene) -> None:
    candidate = Arm("serves-new", scene.models["white"].address)
    wanted = replace(scene.setting(WINE), candidate=candidate, split=TrafficSplit(40))
    scene.router.apply({WINE: wanted})
    who = [scene.ask(QUALITY, ACME, KEY)[1] for _ in range(200)]
    # 200 draws with p = 0.4: outside of 45..115 once in a million runs.
    assert 45 <= who.count("white") <= 115
    assert scene.router.read([WINE]) == {WINE: wanted}


def test_service_that_moves_to_another_model_is_never_unanswered(scene: Scene) -> None:
    moved = {
        WINE: replace(scene.setting(WINE), matches=()),
        CIDER: replace(scene.setting(CIDER), matches=(ServiceMatch("quality"),)),
    }
    scene.router.apply(moved)
    assert scene.router.read(moved) == moved
    assert scene.ask(QUALITY, ACME, KEY) == (200, "cider")
    assert scene.ask(LONELY, ACME, KEY, PREMIUM) == NO_SERVICE


# ---- read back, repaired, kept -------------------------------------------------------------------
def test_all_that_leads_here_is_read_back(scene: Scene) -> None:
    wanted = {route: scene.setting(route) for route in (WINE, CIDER, THEIRS)}
    assert scene.router.read(wanted) == wanted


def test_key_that_is_made_opens_and_one_that_is_retired_does_not(scene: Scene) -> None:
    scene.keys["acme"] = ("mlk_acme-3", "mlk_acme-1")
    assert scene.router.read([WINE])[WINE] != scene.setting(WINE)
    wanted = scene.apply(WINE, CIDER)
    assert scene.router.read(wanted) == wanted
    for path, headers in ((OWN, ()), (QUALITY, (ACME,)), (QUALITY, (ACME, PREMIUM))):
        assert scene.ask(path, *headers, ("x-api-key", "mlk_acme-3"))[0] == 200
        assert scene.ask(path, *headers, SECOND) == WRONG_KEY
    assert scene.ask(FOREIGN, THEIR_KEY) == (200, "white")


def test_keys_of_now_are_set_and_told_when_some_came_after_the_look(scene: Scene) -> None:
    looked = scene.setting(WINE)
    scene.keys["acme"] = ("mlk_acme-3",)
    scene.router.apply({WINE: looked})
    assert scene.router.read([WINE]) == {WINE: scene.setting(WINE)}
    assert scene.ask(OWN, ("x-api-key", "mlk_acme-3")) == (200, "red")


def test_tenant_without_a_living_key_is_shut_out(scene: Scene) -> None:
    scene.keys["acme"] = ()
    wanted = scene.apply(WINE, CIDER)
    assert scene.router.read(wanted) == wanted
    assert scene.ask(OWN) == NO_KEY
    assert scene.ask(OWN, KEY) == scene.ask(QUALITY, ACME, KEY) == WRONG_KEY


def test_restart_of_the_gateway_keeps_keys_and_services(scene: Scene) -> None:
    scene.envoy.stop()
    scene.envoy.start()
    wanted = {route: scene.setting(route) for route in (WINE, CIDER, THEIRS)}
    assert eventually(lambda: scene.router.read(wanted) == wanted)
    assert scene.ask(QUALITY, ACME, KEY) == (200, "red")
    assert scene.ask(QUALITY, ACME) == NO_KEY


def meddle(scene: Scene, change: Callable[[dict[str, dict[str, Any]]], object]) -> None:
    """Somebody changes Envoy's routes (by name) in the file."""
    path = scene.envoy.layout.xds / "rds.json"
    content = json.loads(path.read_text())
    routes = content["resources"][0]["virtual_hosts"][0]["routes"]
    change({item["name"]: item for item in routes})
    beside = path.with_suffix(".meddled")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def open_up(item: dict[str, Any]) -> None:
    disabled = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    item["typed_per_filter_config"] = {"envoy.filters.http.api_key_auth": disabled}


@pytest.mark.parametrize(
    "change",
    [
        lambda routes: open_up(routes[WINE.name]),
        lambda routes: routes[WINE.name].pop("typed_per_filter_config"),
        lambda routes: open_up(routes[f"{WINE.name}/quality"]),
        lambda routes: routes[f"{WINE.name}/quality"]["match"]["headers"].pop(0),
        lambda routes: routes[f"{WINE.name}/quality"]["match"]["headers"].pop(1),
        lambda routes: routes[f"{WINE.name}/quality"]["route"].update(timeout="1s"),
    ],
    ids=["opened", "shut", "service opened", "any tenant", "any tier", "service else"],
)
def test_what_somebody_else_changed_is_seen_and_repaired(
    scene: Scene, change: Callable[[dict[str, Any]], object]
) -> None:
    meddle(scene, change)
    assert eventually(lambda: scene.router.read([WINE]) != {WINE: scene.setting(WINE)})
    scene.apply(WINE)
    assert scene.router.read([WINE]) == {WINE: scene.setting(WINE)}
    assert scene.ask(OWN) == scene.ask(QUALITY, ACME) == NO_KEY


def test_routes_of_an_older_version_are_shut_until_they_are_repaired(scene: Scene) -> None:
    def as_before(routes: dict[str, dict[str, Any]]) -> None:
        for item in routes.values():
            item.pop("typed_per_filter_config", None)
            item.pop("metadata", None)

    meddle(scene, as_before)
    assert eventually(lambda: scene.ask(OWN, KEY) == WRONG_KEY)
    found = scene.router.read([WINE])[WINE]
    assert found is not None
    assert found.splits_like(scene.setting(WINE))
    assert found.access == fingerprint(())
    scene.apply(WINE)
    assert scene.ask(OWN, KEY) == (200, "red")
    assert scene.ask("/somewhere") == NO_MODEL


# ---- secrets -------------------------------------------------------------------------------------
def test_keys_are_in_a_file_for_this_account_only_and_nowhere_else(scene: Scene) -> None:
    folder = scene.envoy.layout.xds
    left = folder / "rds.tmp"  # by a crash of an older version
    left.write_text("")
    left.chmod(0o644)
    scene.apply(WINE)
    assert stat.S_IMODE((folder / "rds.json").stat().st_mode) == 0o600
    assert KEY[1] in (folder / "rds.json").read_text()
    dump = EnvoyAdmin(str(scene.envoy.layout.envoy_admin)).get("/config_dump")
    assert "mlk_" not in json.dumps(dump)
    log = Path(scene.envoy.layout.log / "envoy.log").read_text()
    assert "mlk_" not in log
