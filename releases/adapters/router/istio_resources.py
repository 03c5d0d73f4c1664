"""Route settings as a VirtualService and as traffic of a SeldonDeployment, and back: pure, no network.

A route becomes one VirtualService of our own with at most two HTTP routes: one for requests that ask for the
candidate by header, then one for everybody, at its own address and at those of the services that lead to it.
Destinations are plain Services: Seldon makes one of each predictor, so that no subset is needed, whose
DestinationRule would be the operator's to change. What is read back is what stands in the VirtualService.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from releases.adapters import seldon_objects as seldon
from releases.adapters.istio_place import IstioPlace
from releases.adapters.seldon_objects import Manifest
from releases.domain.manifests.ingress import host_of
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.domain.traffic import TENANT_HEADER, TIER_HEADER, ServiceMatch
from releases.ports import Refused

DEPLOYMENT_HEADER = "x-portal-deployment"
BY_HEADER, FOR_ALL = "candidate", "everybody"
SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Whatever the address was: Istio's own prefix ends anywhere in a name, and a rewritten prefix with a slash at
# its end would not fit the address itself.
REWRITE = {"match": "^/[^/]+/[^/]+/v2/models/[^/]+", "rewrite": f"/v2/models/{seldon.GRAPH_NODE}"}
# Only what never reached the model is sent again, and to the same deployment: that can hide no failure of a
# candidate, and no prediction is made twice. Istio's own policy would repeat answers of the model, too.
RETRIES = {"attempts": 2, "retryOn": "connect-failure,refused-stream"}


def check(route: Route, setting: RouteSetting, place: IstioPlace) -> None:
    """Raise `Refused` for what no gateway could do, and for what is not of this place."""
    if (route.tenant, route.environment) != (place.tenant, place.environment):
        raise Refused(f"{route.name} is not of {place.tenant}/{place.environment}, which is all that is here")
    of_services = (part for match in setting.matches for part in (match.service, match.tier, *match.unless))
    for name in (route.tenant, route.environment, route.model, *filter(None, of_services)):
        if not SLUG.fullmatch(name):
            raise Refused(f"{route.name}: {name[:80]!r} cannot be part of an address or a header's value")
    if why := setting.impossibility():
        raise Refused(f"{route.name}: {why}")
    if not host_of(place.gateway_url):
        raise Refused(f"{route.name}: {place.gateway_url[:80]!r}, the gateway's address, names no host")


def path_of(route: Route) -> str:
    """The path under which callers find the model."""
    return f"/{route.tenant}/{route.environment}/v2/models/{route.model}"


# ---- the VirtualService --------------------------------------------------------------------------
def virtual_service(route: Route, setting: RouteSetting, place: IstioPlace) -> Manifest:
    """Our own VirtualService of the route; absolute."""
    at_home = _addresses(path_of(route))
    routes = []
    if setting.candidate:
        asked = {"headers": {DEPLOYMENT_HEADER: {"exact": setting.candidate.ref}}}
        routes.append(
            {
                "name": BY_HEADER,
                "match": [{**one, **asked} for one in at_home],
                **_sends(route, [(setting.candidate, 100)], place),
            }
        )
    led_here = [one for match in setting.matches for one in _of_service(route, match)]
    routes.append(
        {"name": FOR_ALL, "match": [*at_home, *led_here], **_for_everybody(route, setting, place)},
    )
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": seldon.virtual_service_name(route.model),
            "namespace": place.namespace,
            "labels": seldon.labels(route.tenant, route.environment, route.model),
        },
        "spec": {"hosts": [host_of(place.gateway_url)], "gateways": [place.istio_gateway], "http": routes},
    }


def _for_everybody(route: Route, setting: RouteSetting, place: IstioPlace) -> Manifest:
    share = setting.split.candidate
    if setting.stable is None and not share:
        said = f"no version of {route.model} is released in {route.environment}"
        return {
            "directResponse": {"status": 503, "body": {"string": json.dumps({"error": said})}},
            "headers": {"response": {"set": {"content-type": "application/json"}}},
        }
    to = [] if setting.stable is None else [(setting.stable, 100 - share)]
    if setting.candidate and share:
        to.append((setting.candidate, share))
    action = _sends(route, to, place)
    if setting.candidate and setting.split.shadow:
        action |= {"mirror": _destination(setting.candidate), "mirrorPercentage": {"value": 100}}
    return action


def _sends(route: Route, to: Sequence[tuple[Arm, int]], place: IstioPlace) -> Manifest:
    return {
        "route": [
            {
                "destination": _destination(arm),
                "weight": share,
                "headers": {"response": {"set": {DEPLOYMENT_HEADER: arm.ref}}},
            }
            for arm, share in to
        ],
        "rewrite": {"uriRegexRewrite": REWRITE},
        # Whoever came by the model's own address named the tenant in it; the pods are told by the header.
        "headers": {"request": {"set": {TENANT_HEADER: route.tenant}}},
        "timeout": f"{place.request_seconds:g}s",
        "retries": RETRIES,
    }


def _destination(arm: Arm) -> Manifest:
    host, _, port = arm.address.rpartition(":")
    return {"host": host, "port": {"number": int(port)}}


def _addresses(path: str) -> list[Manifest]:
    """The address itself and what lies below it, but not the next model whose name begins alike."""
    return [{"uri": {"exact": path}}, {"uri": {"prefix": f"{path}/"}}]


def _of_service(route: Route, match: ServiceMatch) -> list[Manifest]:
    headers: Manifest = {TENANT_HEADER: {"exact": route.tenant}}
    condition: Manifest = {"headers": headers}
    if match.tier:
        headers[TIER_HEADER] = {"exact": match.tier}
    elif match.unless:
        condition["withoutHeaders"] = {TIER_HEADER: {"regex": "|".join(match.unless)}}
    return [{**one, **condition} for one in _addresses(_services(route) + match.service)]


def _services(route: Route) -> str:
    return f"/services/{route.environment}/v2/models/"


# ---- back ----------------------------------------------------------------------------------------
def setting_from(route: Route, found: Mapping[str, Any]) -> RouteSetting:
    """The setting that a VirtualService of ours amounts to. One that somebody has changed may amount to
    something that is only near it: whoever reads has to hold it against `virtual_service` of this."""
    routes = {item.get("name"): item for item in (found.get("spec") or {}).get("http") or []}
    for_all = routes.get(FOR_ALL, {})
    candidate = next((arm for arm, _ in _arms(routes.get(BY_HEADER, {}))), None)
    arms = _arms(for_all)
    share = min(100, max(0, sum(weight for arm, weight in arms if arm == candidate)))
    return RouteSetting(
        TrafficSplit(share, shadow="mirror" in for_all and not share),
        next((arm for arm, _ in arms if arm != candidate), None),
        candidate,
        tuple(sorted(filter(None, (_match(route, one) for one in for_all.get("match") or [])))),
    )


def _arms(item: Mapping[str, Any]) -> list[tuple[Arm, int]]:
    """Destinations and their weights. The ref is the one that callers are told."""
    found = []
    for one in item.get("route") or []:
        place, headers = one.get("destination") or {}, one.get("headers") or {}
        ref = ((headers.get("response") or {}).get("set") or {}).get(DEPLOYMENT_HEADER, "")
        address = f"{place.get('host')}:{(place.get('port') or {}).get('number')}"
        found.append((Arm(str(ref), address), int(one.get("weight") or 0)))
    return found


def _match(route: Route, item: Mapping[str, Any]) -> ServiceMatch | None:
    path = str((item.get("uri") or {}).get("exact", ""))
    if not path.startswith(_services(route)):
        return None
    tier = ((item.get("headers") or {}).get(TIER_HEADER) or {}).get("exact", "")
    unless = ((item.get("withoutHeaders") or {}).get(TIER_HEADER) or {}).get("regex", "")
    service = path.removeprefix(_services(route))
    return ServiceMatch(service, str(tier), tuple(unless.split("|")) if unless else ())
