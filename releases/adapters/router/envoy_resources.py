"""Route settings as Envoy resources, and back: pure translation, no file and no network.

A route becomes one Envoy route for requests that ask for the candidate by header, one for everybody else at
its own address, and one for each service that leads here (see `envoy_doors`). What is read back is what
Envoy does, not what we noted: the weights are those of the weighted clusters, the candidate is where the
header leads, addresses are those of the clusters; only of keys there is a note, because Envoy hides them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from releases.adapters.router.envoy_doors import (
    API,
    Resource,
    access_of,
    condition,
    lock,
    lock_of,
    match_of,
    name_of,
    replaced,
    rest,
    says,
)
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Refused

DEPLOYMENT_HEADER = "x-portal-deployment"
# Requests by header go through a cluster of their own, so that Envoy does not count them among the
# candidate's: the smoke test is not canary traffic.
PROBE = "--probe"
SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
REF = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ADDRESS = re.compile(r"(?P<host>[0-9.]+):(?P<port>[0-9]{1,5})")


def check(route: Route, setting: RouteSetting) -> None:
    """Raise `Refused` for what no gateway could do, and for names that are not slugs."""
    tiers = (tier for match in setting.matches for tier in (match.service, match.tier or "x", *match.unless))
    for name in (route.tenant, route.environment, route.model, *tiers):
        if not SLUG.fullmatch(name):
            raise Refused(f"{name[:80]!r} in the route is not a slug")
    for arm in (setting.stable, setting.candidate):
        if arm and (not REF.fullmatch(arm.ref) or arm.ref.endswith(PROBE)):
            raise Refused(f"{route.name}: {arm.ref[:80]!r} cannot be the name of a deployment")
        if arm and not ADDRESS.fullmatch(arm.address):
            raise Refused(f"{route.name}: {arm.address[:80]!r} is not an IPv4 address with a port")
    if why := setting.impossibility():
        raise Refused(f"{route.name}: {why}")


def clusters_of(setting: RouteSetting) -> dict[str, Resource]:
    """Every cluster that the routes of the setting need, by name."""
    found = {}
    for arm in (setting.stable, setting.candidate):
        if arm:
            found[arm.ref] = _cluster(arm.ref, arm.address)
    if setting.candidate:
        name = setting.candidate.ref + PROBE
        found[name] = _cluster(name, setting.candidate.address)
    return found


def _cluster(name: str, address: str) -> Resource:
    host, _, port = address.partition(":")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    return {
        "@type": f"{API}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions",
                # The model server closes idle connections after 5 s; we have to be the first, or a
                # request is now and then sent into a connection that is just being closed.
                "common_http_protocol_options": {"idle_timeout": "3s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def address_of(cluster: Mapping[str, Any]) -> str:
    """The host:port of a cluster of ours; empty when it is none."""
    try:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = endpoint["address"]["socket_address"]
        return f"{socket['address']}:{socket['port_value']}"
    except (KeyError, IndexError, TypeError):
        return ""


def prefix(route: Route) -> str:
    """The path under which callers find the model."""
    return f"/{route.tenant}/{route.environment}/v2/models/{route.model}"


def names_of(route: Route) -> tuple[str, str]:
    """The names of the Envoy routes at its own address: by header, and for everybody."""
    return f"{route.name}{PROBE}", route.name


def routes_of(
    route: Route, setting: RouteSetting, seconds: float, keys: Sequence[str] = ()
) -> list[Resource]:
    """The Envoy routes of the setting, in the order in which they are to be tried."""
    by_header, for_all = names_of(route)
    locked = lock(route.tenant, setting.access, keys)
    found = []
    if setting.candidate:
        ref = setting.candidate.ref
        header = {"name": DEPLOYMENT_HEADER, "string_match": {"exact": ref}}
        found.append(
            {
                "name": by_header,
                "match": {"path_separated_prefix": prefix(route), "headers": [header]},
                "route": _action(route, {ref + PROBE: 100}, seconds),
                **locked,
            }
        )
    action = _for_everybody(route, setting, seconds) | locked
    found.append({"name": for_all, "match": {"path_separated_prefix": prefix(route)}, **action})
    for match in setting.matches:
        found.append({"name": name_of(route, match), "match": condition(route, match), **action})
    return found


def _for_everybody(route: Route, setting: RouteSetting, seconds: float) -> Resource:
    share = setting.split.candidate
    if setting.stable is None and not share:
        return says(503, f"no version of {route.model} is released in {route.environment}")
    weights = {}
    if setting.stable:
        weights[setting.stable.ref] = 100 - share
    if setting.candidate and share:
        weights[setting.candidate.ref] = share
    action = _action(route, weights, seconds)
    if setting.candidate and setting.split.shadow:
        action["request_mirror_policies"] = [{"cluster": setting.candidate.ref}]
    return {"route": action}


def _action(route: Route, weights: Mapping[str, int], seconds: float) -> Resource:
    arms = [
        {
            "name": name,
            "weight": weight,
            "response_headers_to_add": [replaced(DEPLOYMENT_HEADER, name.removesuffix(PROBE))],
        }
        for name, weight in weights.items()
    ]
    return {
        "weighted_clusters": {"clusters": arms},
        "prefix_rewrite": f"/v2/models/{route.model}",
        "timeout": f"{seconds:g}s",
        # Only what never reached the model is sent again, and to the same arm: that can hide no
        # failure of a candidate, and no prediction is made twice.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": 2,
        },
    }


def route_configuration(name: str, routes: Sequence[Resource]) -> Resource:
    """The one route configuration, which answers what no route is for with a sentence."""
    host = {"name": "models", "domains": ["*"], "routes": [*routes, *rest(routes)]}
    return {
        "@type": f"{API}.config.route.v3.RouteConfiguration",
        "name": name,
        "virtual_hosts": [host],
    }


def cluster_names(routes: Iterable[Mapping[str, Any]]) -> set[str]:
    """The names of all clusters that these Envoy routes send to."""
    found = set()
    for item in routes:
        action = item.get("route", {})
        found |= {arm["name"] for arm in action.get("weighted_clusters", {}).get("clusters", [])}
        found |= {mirror["cluster"] for mirror in action.get("request_mirror_policies", [])}
        found |= {action["cluster"]} if "cluster" in action else set()
    return found


def setting_from(
    route: Route,
    routes: Mapping[str, Mapping[str, Any]],
    of_services: Iterable[Mapping[str, Any]],
    addresses: Mapping[str, str],
) -> RouteSetting | None:
    """The setting that Envoy's routes (by name), those for services that belong to this route, and clusters
    (name -> host:port) amount to.

    None when there is no such route, or one that is not of our making. An arm whose clusters are
    missing or disagree has an empty address; a service that leads elsewhere does not lead here.
    """
    by_header, for_all = names_of(route)
    if for_all not in routes:
        return None
    everybody = routes[for_all]
    candidate, access = None, access_of(everybody)
    if by_header in routes:
        probe = next(iter(cluster_names([routes[by_header]])), "")
        ref = probe.removesuffix(PROBE)
        address = addresses.get(ref, "")
        candidate = Arm(ref, address if addresses.get(probe) == address else "")
        access = access if lock_of(routes[by_header]) == lock_of(everybody) else "unlike"
    action = everybody.get("route", {})
    weights = {
        arm["name"]: arm.get("weight", 0) for arm in action.get("weighted_clusters", {}).get("clusters", [])
    }
    share = weights.pop(candidate.ref, 0) if candidate else 0
    if len(weights) > 1 or (not weights and "route" in everybody and not share):
        return None
    stable = next((Arm(ref, addresses.get(ref, "")) for ref in weights), None)
    total = share + sum(weights.values())
    share = round(100 * share / total) if total else 0
    led = [match_of(route, item) for item in of_services if _does(item) == _does(everybody)]
    return RouteSetting(
        TrafficSplit(share, shadow=bool(action.get("request_mirror_policies")) and not share),
        stable,
        candidate,
        matches=tuple(sorted(match for match in led if match)),
        access=access,
    )


def _does(item: Mapping[str, Any]) -> Resource:
    """An Envoy route apart from its name and what it is for."""
    return {part: value for part, value in item.items() if part not in ("name", "match")}
