"""A stand-in for Istio's gateway: does with requests what the VirtualServices in the API server say.

Plays hosts, gateways, matches by path and header, rewrites, weights, mirrors, headers and direct responses,
and answers 501 to everything else, so that nothing passes that it does not understand. Who may call is not
its business: that is tested with the real istiod and Envoy.
"""

import random
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from releases.adapters.kubernetes_api import Manifest
from tests.cluster.api import VIRTUAL_SERVICE, Api
from tests.cluster.executors import PORT, Destination, Executors
from tests.cluster.serving import LoopbackServer, Reply, Request
from tests.cluster.watching import Watched

GATEWAY = "istio-system/seldon-gateway"
HOST = "localhost"  # under which it is reached; a host of a VirtualService is a name, not an address


class NotPlayed(Exception):
    """A VirtualService asks for something that this stand-in does not play."""


class MeshGateway:
    """One gateway in front of all namespaces."""

    def __init__(self, api: Api, executors: Executors) -> None:
        self._executors = executors
        self._random = random.Random(20_261_123)
        self._routes = Watched(api, VIRTUAL_SERVICE, lambda: _by_host(api.list(VIRTUAL_SERVICE)))
        self._server = LoopbackServer("mesh-gateway", self._answer)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.port}"

    def stop(self) -> None:
        self._server.stop()
        self._routes.stop()

    def _answer(self, request: Request) -> Reply:
        host = request.headers.get("host", "").partition(":")[0]
        path = urlsplit(request.target).path
        routes = self._routes.picture
        try:
            for route in (*routes.get(host, ()), *routes.get("*", ())):
                found = [each for each in route.get("match") or [{}] if _fits(each, path, request.headers)]
                if found:
                    return self._follow(route, found[0], path, request)
        except NotPlayed as error:
            return Reply(501, str(error).encode(), "text/plain")
        return Reply(404, b"", "text/plain")

    def _follow(self, route: Manifest, match: Manifest, path: str, request: Request) -> Reply:
        known = {"name", "match", "rewrite", "route", "mirror", "mirrorPercentage", "directResponse"}
        known |= {"timeout", "retries", "headers"}  # nothing here is slow, or worth a retry
        if unknown := set(route) - known:
            raise NotPlayed(f"a route with {sorted(unknown)}")
        if direct := route.get("directResponse"):
            said = direct.get("body", {}).get("string", "").encode()
            return Reply(direct["status"], said, "text/plain", _added(route))
        if "rewrite" in route:
            path = _rewritten(path, match, route["rewrite"])
        if (mirror := route.get("mirror")) and self._chance(route.get("mirrorPercentage", {"value": 100})):
            self._executors.infer(_destination(mirror), path, request.body)
        weighted = route["route"]
        shares = [each.get("weight", 0) for each in weighted]
        (to,) = self._random.choices(weighted, shares) if sum(shares) else weighted[:1]
        reply = self._executors.infer(_destination(to["destination"]), path, request.body)
        return Reply(reply.status, reply.body, reply.content_type, {**_added(route), **_added(to)})

    def _chance(self, percentage: Mapping[str, float]) -> bool:
        return self._random.random() * 100 < percentage["value"]


def _by_host(found: list[Manifest]) -> dict[str, list[Manifest]]:
    """Host -> the HTTP routes of all VirtualServices for it, the oldest first, as Istio merges them."""
    routes: dict[str, list[Manifest]] = {}
    for item in sorted(found, key=lambda item: (item["metadata"]["creationTimestamp"], _name(item))):
        if GATEWAY in item["spec"].get("gateways", []):
            for host in item["spec"].get("hosts", []):
                routes.setdefault(host, []).extend(item["spec"].get("http", []))
    return routes


def _name(item: Manifest) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _fits(match: Manifest, path: str, headers: Mapping[str, str]) -> bool:
    if unknown := set(match) - {"name", "uri", "headers", "withoutHeaders"}:
        raise NotPlayed(f"a match by {sorted(unknown)}")
    asked = match.get("headers", {})
    unwanted = match.get("withoutHeaders", {})
    return (
        _says(match.get("uri", {}), path)
        and all(name in headers and _says(rule, headers[name]) for name, rule in asked.items())
        and not any(name in headers and _says(rule, headers[name]) for name, rule in unwanted.items())
    )


def _says(rule: Mapping[str, str], value: str) -> bool:
    """Whether a StringMatch holds; an empty one holds for everything."""
    kinds: dict[str, Callable[[str], bool]] = {
        "exact": lambda wanted: value == wanted,
        "prefix": value.startswith,
        "regex": lambda wanted: re.fullmatch(wanted, value) is not None,
    }
    if unknown := set(rule) - set(kinds):
        raise NotPlayed(f"a match by {sorted(unknown)}")
    return all(kinds[kind](wanted) for kind, wanted in rule.items())


def _rewritten(path: str, match: Manifest, rewrite: Manifest) -> str:
    """A regular expression is taken as it is by Envoy; a plain one takes the place of the matched prefix."""
    if wanted := rewrite.get("uriRegexRewrite"):
        return re.sub(wanted["match"], wanted["rewrite"], path)
    return str(rewrite["uri"]) + path.removeprefix(match.get("uri", {}).get("prefix", path))


def _destination(asked: Manifest) -> Destination:
    """wine-v1-4-0.<namespace>.svc.cluster.local, at the executor's port."""
    service, namespace, suffix = asked["host"].split(".", 2)
    if suffix != "svc.cluster.local" or asked.get("port") != {"number": PORT}:
        raise NotPlayed(f"the destination {asked}")
    return Destination(namespace, service)


def _added(part: Manifest) -> dict[str, Any]:
    response = part.get("headers", {}).get("response", {})
    return {**response.get("add", {}), **response.get("set", {})}
