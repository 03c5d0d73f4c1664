"""The translation between route settings and Envoy resources, without an Envoy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.adapters.router import envoy_resources as resources
from releases.adapters.router.envoy_doors import place_of
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting, fingerprint
from releases.domain.traffic import ServiceMatch, TrafficRule, matches
from releases.ports import Refused

WINE = Route("acme", "production", "wine")
addresses = st.integers(1, 65_535).map(lambda port: f"127.0.0.1:{port}")
stable_arms = st.builds(Arm, st.just("wine-v1-0-0"), addresses)
candidate_arms = st.builds(Arm, st.just("wine-v1-1-0"), addresses)
KEYS = ("mlk_second", "mlk_first")
slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
rules = st.lists(
    st.builds(TrafficRule, st.none() | st.sampled_from(["premium", "standard"]), st.just("wine")),
    unique_by=lambda rule: rule.tier,
)


def led(services: dict[str, list[TrafficRule]]) -> tuple[ServiceMatch, ...]:
    """What leads to the one model of these services."""
    found = (matches(service, of_service).get("wine", ()) for service, of_service in services.items())
    return tuple(sorted(match for part in found for match in part))


doors = st.fixed_dictionaries(
    {
        "matches": st.dictionaries(slugs, rules, max_size=4).map(led),
        "access": st.sampled_from(["", fingerprint(()), fingerprint(KEYS)]),
    }
)
splits = st.one_of(
    st.builds(
        RouteSetting,
        st.integers(0, 100).map(TrafficSplit) | st.just(TrafficSplit(0, shadow=True)),
        stable_arms,
        candidate_arms,
    ),
    st.builds(RouteSetting, st.just(TrafficSplit(0)), stable_arms, st.none()),
    st.builds(RouteSetting, st.sampled_from([TrafficSplit(0), TrafficSplit(100)]), st.none(), candidate_arms),
    st.just(RouteSetting(TrafficSplit(0), None, None)),
)
possible = st.builds(lambda setting, led: replace(setting, **led), splits, doors)


def keys_for(setting: RouteSetting) -> tuple[str, ...]:
    return KEYS if setting.access == fingerprint(KEYS) else ()


def read_back(setting: RouteSetting) -> RouteSetting | None:
    made = resources.routes_of(WINE, setting, 30, keys_for(setting))
    routes = {item["name"]: item for item in made}
    assert len(routes) == len(made)
    of_services = [item for item in made if place_of(item["name"]) == WINE.name]
    clusters = resources.clusters_of(setting)
    known = {name: resources.address_of(cluster) for name, cluster in clusters.items()}
    return resources.setting_from(WINE, routes, of_services, known)


@given(possible)
def test_every_possible_setting_is_read_back_as_it_was(setting: RouteSetting) -> None:
    resources.check(WINE, setting)
    assert read_back(setting) == setting


@given(possible)
def test_no_route_leads_to_a_cluster_that_is_not_made(setting: RouteSetting) -> None:
    routes = resources.routes_of(WINE, setting, 30)
    assert resources.cluster_names(routes) <= set(resources.clusters_of(setting))


@given(possible)
def test_weights_of_a_route_add_up_to_100(setting: RouteSetting) -> None:
    for item in resources.routes_of(WINE, setting, 30):
        if "route" in item:
            clusters = item["route"]["weighted_clusters"]["clusters"]
            assert sum(cluster["weight"] for cluster in clusters) == 100


@pytest.mark.parametrize("gone", ["wine-v1-1-0", "wine-v1-1-0--probe"])
def test_arm_whose_cluster_is_missing_has_no_address(gone: str) -> None:
    candidate = Arm("wine-v1-1-0", "127.0.0.1:2")
    setting = RouteSetting(TrafficSplit(10), Arm("wine-v1-0-0", "127.0.0.1:1"), candidate)
    routes = {item["name"]: item for item in resources.routes_of(WINE, setting, 30)}
    clusters = resources.clusters_of(setting)
    known = {n: resources.address_of(c) for n, c in clusters.items() if n != gone}
    seen = resources.setting_from(WINE, routes, [], known)
    assert seen is not None
    assert seen.candidate == Arm("wine-v1-1-0", "")


def test_route_that_is_not_of_our_making_is_none() -> None:
    foreign = {WINE.name: {"name": WINE.name, "route": {"cluster": "elsewhere"}}}
    three = {"clusters": [{"name": name, "weight": 1} for name in "abc"]}
    crowded = {WINE.name: {"name": WINE.name, "route": {"weighted_clusters": three}}}
    assert resources.setting_from(WINE, foreign, [], {}) is None
    assert resources.setting_from(WINE, crowded, [], {}) is None


@pytest.mark.parametrize(
    ("route", "ref", "address"),
    [
        (Route("Acme", "production", "wine"), "wine-v1", "127.0.0.1:1"),
        (Route("acme", "../v2", "wine"), "wine-v1", "127.0.0.1:1"),
        (Route("acme", "production", "wine/infer"), "wine-v1", "127.0.0.1:1"),
        (Route("acme", "production", "wine"), "wine.v1", "127.0.0.1:1"),
        (Route("acme", "production", "wine"), "wine-v1--probe", "127.0.0.1:1"),
        (Route("acme", "production", "wine"), "w" * 64, "127.0.0.1:1"),
        (Route("acme", "production", "wine"), "wine-v1", "localhost:1"),
        (Route("acme", "production", "wine"), "wine-v1", ""),
    ],
)
def test_names_and_addresses_that_do_not_fit_are_refused(route: Route, ref: str, address: str) -> None:
    with pytest.raises(Refused):
        resources.check(route, RouteSetting(TrafficSplit(0), Arm(ref, address), None))
