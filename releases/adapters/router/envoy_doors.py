"""What leads to a model at Envoy and who may pass, as parts of Envoy routes, and back: pure translation.

Keys are told to Envoy's filter `api_key_auth`, whose header and default are those of the listener: no key
opens a route that names none. Envoy gives keys back to nobody, so a route carries a fingerprint of them.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from releases.domain.routing import Route, fingerprint
from releases.domain.traffic import TENANT_HEADER, TIER_HEADER, ServiceMatch

API = "type.googleapis.com/envoy"
API_KEY_AUTH = "envoy.filters.http.api_key_auth"
OURS = "mlops-portal"  # where our own notes are in the metadata of a route
SERVICES = "/services/"
NOBODY = fingerprint(())

Resource = dict[str, Any]


# ---- who may pass --------------------------------------------------------------------------------
def lock(tenant: str, access: str, keys: Iterable[str]) -> Resource:
    """The part of an Envoy route that lets in whoever shows one of the keys; without `access`, everybody."""
    if not access:
        return _open_to_all()
    config = {
        "@type": f"{API}.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        "credentials": [{"key": key, "client": tenant} for key in keys],
        # The model sees whose key it was, whatever the caller claims, and not the key.
        "forwarding": {"header": TENANT_HEADER, "hide_credentials": True},
    }
    return {
        "typed_per_filter_config": {API_KEY_AUTH: config},
        "metadata": {"filter_metadata": {OURS: {"access": access}}},
    }


def _open_to_all() -> Resource:
    config = {"@type": f"{API}.config.route.v3.FilterConfig", "disabled": True}
    return {"typed_per_filter_config": {API_KEY_AUTH: config}}


def lock_of(item: Mapping[str, Any]) -> Resource:
    """The part of an Envoy route that says which keys open it."""
    return {part: item[part] for part in ("typed_per_filter_config", "metadata") if part in item}


def access_of(item: Mapping[str, Any]) -> str:
    """Which keys open an Envoy route, as a fingerprint; empty when it is open to all."""
    config = item.get("typed_per_filter_config", {}).get(API_KEY_AUTH, {})
    if config.get("disabled"):
        return ""
    if not config.get("credentials"):
        return NOBODY
    noted = item.get("metadata", {}).get("filter_metadata", {}).get(OURS, {})
    return str(noted.get("access", "unknown"))


# ---- what leads here -----------------------------------------------------------------------------
def name_of(route: Route, match: ServiceMatch) -> str:
    """The name of the Envoy route by which a service's requests come; no slug has a slash in it."""
    return "/".join(filter(None, (route.name, match.service, match.tier)))


def place_of(name: str) -> str:
    """The name of the `Route` to which an Envoy route for a service belongs; empty for other routes."""
    parts = name.split("/")
    return "/".join(parts[:3]) if len(parts) > 3 else ""


def condition(route: Route, match: ServiceMatch) -> Resource:
    """What has to be true of a request for the service. Of a repeated header any value will do."""
    tier = [_is(TIER_HEADER, match.tier)] if match.tier else []
    # Inverted, a header that is missing would fit nothing, were it not taken for an empty one.
    inverted = {"invert_match": True, "treat_missing_header_as_empty": True}
    others = [_is(TIER_HEADER, other) | inverted for other in match.unless]
    return {
        "path_separated_prefix": _prefix(route) + match.service,
        "headers": [_is(TENANT_HEADER, route.tenant), *tier, *others],
    }


def match_of(route: Route, item: Mapping[str, Any]) -> ServiceMatch | None:
    """The service whose requests an Envoy route takes; None when its condition is not of our making."""
    found = item.get("match", {})
    tiers = [header for header in found.get("headers", []) if header.get("name") == TIER_HEADER]
    named = [header.get("string_match", {}).get("exact", "") for header in tiers]
    is_default = all("invert_match" in header for header in tiers)
    match = ServiceMatch(
        service=str(found.get("path_separated_prefix", "")).removeprefix(_prefix(route)),
        tier="" if is_default else named[0],
        unless=tuple(named) if is_default else (),
    )
    return match if condition(route, match) == found else None


def _prefix(route: Route) -> str:
    return f"{SERVICES}{route.environment}/v2/models/"


def _is(header: str, value: str) -> Resource:
    return {"name": header, "string_match": {"exact": value}}


# ---- what is said to everybody else ----------------------------------------------------------------
def says(status: int, sentence: str) -> Resource:
    """The part of an Envoy route that answers by itself."""
    body = json.dumps({"error": sentence})
    return {
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [replaced("content-type", "application/json")],
    }


def replaced(header: str, value: str) -> Resource:
    """A header of the answer, instead of whatever it was."""
    return {"header": {"key": header, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def rest(routes: Iterable[Resource]) -> list[Resource]:
    """The Envoy routes for what none of these takes.

    Only who shows a tenant's key learns which services it has not: without one, a tenant that is unknown
    is answered like one that is known.
    """
    locks = {item["name"].partition("/")[0]: lock_of(item) for item in routes}
    unknown = "no service of this name answers in this environment, or none for this customer-tier"
    missing = _is(TENANT_HEADER, "") | {"treat_missing_header_as_empty": True}
    return [
        *(
            {
                "name": f"services of {tenant}",
                "match": {"prefix": SERVICES, "headers": [_is(TENANT_HEADER, tenant)]},
                **says(404, unknown),
                **of_tenant,
            }
            for tenant, of_tenant in locks.items()
        ),
        {
            "name": "services of nobody",
            "match": {"prefix": SERVICES, "headers": [missing]},
            **says(400, f"the header {TENANT_HEADER} is missing: it says whose service is called"),
            **_open_to_all(),
        },
        {"name": "services of strangers", "match": {"prefix": SERVICES}, **says(404, unknown)},
        {
            "name": "rest",
            "match": {"prefix": "/"},
            **says(404, "no model is served at this address"),
            **_open_to_all(),
        },
    ]
