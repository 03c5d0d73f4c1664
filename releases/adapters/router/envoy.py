"""The traffic router of the local target: Envoy, told by files (filesystem xDS).

The routes on disk are the router's whole state, and Envoy reads them again after a restart. They hold the
callers' keys: the files are for this account only, and nothing of them is logged. Knows nothing of releases.
Several processes may route at once: changes are made under a file lock.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from releases.adapters.envoy_admin import EnvoyAdmin
from releases.adapters.router import envoy_resources as resources
from releases.adapters.router.envoy_doors import Resource, place_of
from releases.domain.routing import Route, RouteSetting, fingerprint
from releases.ports import Refused, Unreachable

ROUTE_CONFIGURATION = "gateway"  # the name under which the listener asks for its routes

KeysOf = Callable[[Iterable[str]], Mapping[str, tuple[str, ...]]]


def no_keys(tenants: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Nobody has a key."""
    return {}


@dataclass(frozen=True, slots=True)
class EnvoyRouterConfig:
    """`admin`: Unix socket or http:// URL; `xds`: the folder Envoy watches; `keys_of`: the keys that open
    the routes of tenants, by slug; `request_seconds`: how long a model may take for one answer;
    `patience`: how long a change may take to come into effect."""

    admin: str
    xds: Path
    gateway_url: str
    keys_of: KeysOf = no_keys
    request_seconds: float = 30.0
    patience: float = 5.0


@dataclass(frozen=True, slots=True)
class InEffect:
    """What Envoy does right now: its routes by name, those for services by the name of the route to which
    they lead as well, its clusters' addresses by name."""

    routes: Mapping[str, Resource] = field(default_factory=dict)
    of_services: Mapping[str, list[Resource]] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)


class EnvoyRouter:
    """Port `TrafficRouter`."""

    def __init__(self, config: EnvoyRouterConfig) -> None:
        self._config = config
        self._admin = EnvoyAdmin(config.admin)

    def apply(self, settings: Mapping[Route, RouteSetting]) -> None:
        """Returns when Envoy does it; `Unreachable` when that cannot be confirmed in time.

        The keys are those of now, even when `access` was read before one of them came or went."""
        for route, setting in settings.items():
            resources.check(route, setting)
        if settings:
            self._change(dict(settings))

    def read(self, routes: Iterable[Route]) -> dict[Route, RouteSetting | None]:
        """One question to Envoy's admin interface for all routes."""
        seen = self._in_effect()
        return {
            route: resources.setting_from(
                route, seen.routes, seen.of_services.get(route.name, ()), seen.addresses
            )
            for route in routes
        }

    def remove(self, routes: Iterable[Route]) -> None:
        """Returns when Envoy no longer knows the routes."""
        gone: dict[Route, RouteSetting | None] = dict.fromkeys(routes)
        if gone:
            self._change(gone)

    def url(self, route: Route) -> str:
        """Below the gateway's public address."""
        return self._config.gateway_url + resources.prefix(route)

    def _change(self, wanted: Mapping[Route, RouteSetting | None]) -> None:
        """Clusters first, routes when the clusters are there: no route ever leads to nowhere.

        A change that needs no new cluster, as every rollback, is written even when the admin
        interface is silent; only the confirmation is missing then.
        """
        with self._locked():
            clusters = self._clusters_on_disk()
            routes = self._routes_on_disk()
            self._collect_garbage(clusters, routes)
            needed: dict[str, Resource] = {}
            keys = self._config.keys_of({route.tenant for route, setting in wanted.items() if setting})
            settings = {route: _with_keys(wanted[route], keys.get(route.tenant, ())) for route in wanted}
            routes = _without(routes, settings)
            for route, setting in settings.items():
                if setting:
                    needed |= resources.clusters_of(setting)
                    of_tenant = keys.get(route.tenant, ())
                    made = resources.routes_of(route, setting, self._config.request_seconds, of_tenant)
                    routes |= {item["name"]: item for item in made}
            self._bring_clusters(clusters, needed)
            configuration = resources.route_configuration(ROUTE_CONFIGURATION, list(routes.values()))
            self._write("rds.json", [configuration])
            self._await_routes(settings)

    def _collect_garbage(self, clusters: dict[str, Resource], routes: Mapping[str, Resource]) -> None:
        """Drop the clusters that no route leads to, neither on disk nor in Envoy.

        They go with a later change than the one that took their traffic away, so that their last
        requests are still answered and counted.
        """
        unused = set(clusters) - resources.cluster_names(routes.values())
        if not unused:
            return
        try:
            seen = self._in_effect("dynamic_route_configs")
            unused -= resources.cluster_names(seen.routes.values())
        except Unreachable:
            return
        for name in unused:
            del clusters[name]

    def _bring_clusters(self, clusters: Mapping[str, Resource], needed: Mapping[str, Resource]) -> None:
        """Write the clusters and wait for those that are needed, unless nothing changes."""
        addresses = {name: resources.address_of(cluster) for name, cluster in needed.items()}

        def are_there() -> bool:
            known = self._in_effect("dynamic_active_clusters").addresses
            return all(known.get(name) == address for name, address in addresses.items())

        wanted = {**clusters, **needed}
        if wanted != self._clusters_on_disk():
            self._write("cds.json", list(wanted.values()))
        if any(clusters.get(name) != cluster for name, cluster in needed.items()):
            self._await(are_there, "the gateway has not taken up the new deployments")

    def _await_routes(self, wanted: Mapping[Route, RouteSetting | None]) -> None:
        self._await(lambda: self.read(wanted) == dict(wanted), "the gateway has not taken up the new routes")

    def _await(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self._config.patience
        pause = 0.002
        while True:
            began = time.monotonic()
            if condition():
                return
            if time.monotonic() > deadline:
                raise Unreachable(f"{otherwise} within {self._config.patience:g} s")
            # A long answer means many routes: asking keeps Envoy from taking up the change.
            pause = max(min(2 * pause, 0.1), time.monotonic() - began)
            time.sleep(pause)

    def _in_effect(self, section: str | None = None) -> InEffect:
        """All that Envoy does, or one section of it."""
        routes: dict[str, Resource] = {}
        addresses: dict[str, str] = {}
        query = {"resource": section} if section else None
        for found in self._admin.get("/config_dump", query).get("configs", []):
            # Asked for one section, Envoy lists its items themselves.
            part = {section: [found]} if section else found
            for dynamic in part.get("dynamic_route_configs", []):
                configuration = dynamic.get("route_config", {})
                if configuration.get("name") == ROUTE_CONFIGURATION:
                    routes |= _routes_by_name(configuration)
            for dynamic in part.get("dynamic_active_clusters", []):
                cluster = dynamic["cluster"]
                addresses[cluster["name"]] = resources.address_of(cluster)
        of_services: dict[str, list[Resource]] = {}
        for name, item in routes.items():
            of_services.setdefault(place_of(name), []).append(item)
        return InEffect(routes, of_services, addresses)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with (self._config.xds / "router.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Unreachable(f"the gateway's files cannot be written: {error}") from error

    def _clusters_on_disk(self) -> dict[str, Resource]:
        return {cluster["name"]: cluster for cluster in self._load("cds.json")}

    def _routes_on_disk(self) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for configuration in self._load("rds.json"):
            found |= _routes_by_name(configuration)
        # Those that are for no model are made anew, as the last ones.
        return {name: item for name, item in found.items() if "/" in name}

    def _load(self, name: str) -> list[Resource]:
        path = self._config.xds / name
        try:
            text = path.read_text()
        except FileNotFoundError:
            return []
        try:
            content = json.loads(text)
        except ValueError as error:
            raise Refused(f"{name} of the gateway is broken; restore or delete {path}") from error
        if not isinstance(content, dict):
            raise Refused(f"{name} of the gateway holds no resources; restore or delete {path}")
        return content.get("resources") or []

    def _write(self, name: str, items: list[Resource]) -> None:
        path = self._config.xds / name
        beside = path.with_suffix(".tmp")
        beside.unlink(missing_ok=True)  # one that a crash left may have been readable by others
        with open(beside, "x", opener=_private) as file:
            file.write(json.dumps({"resources": items}))
        os.replace(beside, path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _with_keys(setting: RouteSetting | None, keys: Iterable[str]) -> RouteSetting | None:
    """What is brought about: a setting that is open to all stays so."""
    if setting is None or not setting.access:
        return setting
    return replace(setting, access=fingerprint(keys))


def _without(routes: Mapping[str, Resource], gone: Iterable[Route]) -> dict[str, Resource]:
    """All but the Envoy routes that lead to these places."""
    names = {name for route in gone for name in resources.names_of(route)}
    places = {route.name for route in gone}
    return {n: item for n, item in routes.items() if n not in names and place_of(n) not in places}


def _routes_by_name(configuration: Mapping[str, Any]) -> dict[str, Resource]:
    return {
        route.get("name", ""): route
        for host in configuration.get("virtual_hosts", [])
        for route in host.get("routes", [])
    }
