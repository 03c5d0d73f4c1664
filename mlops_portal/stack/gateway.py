"""The Envoy gateway: its bootstrap and the first files of its filesystem xDS.

Knows that routes come by RDS under the name `gateway` and that callers show a key; must not know any
route and any key. `lds.json` is written at every start (it holds the port); `rds.json` and `cds.json`
belong to the traffic router, which replaces them by rename, and are only made when there are none.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx

from mlops_portal.stack.layout import Layout, package_folder
from mlops_portal.stack.programs import Program

ROUTES = "gateway"
BUCKETS = [
    1,
    2,
    3,
    5,
    7.5,
    10,
    15,
    20,
    30,
    40,
    50,
    75,
    100,
    150,
    200,
    300,
    500,
    750,
    1000,
    2000,
    5000,
    10000,
    30000,
]
API = "type.googleapis.com/envoy"
KEY_HEADER = "x-api-key"
DEPLOYMENT_HEADER = "x-portal-deployment"
API_KEY_AUTH = "envoy.filters.http.api_key_auth"
NO_KEY = f"the header {KEY_HEADER} is missing: it holds a traffic key of the tenant whose model is called"
WRONG_KEY = f"the key in the header {KEY_HEADER} does not open this address"


def watched(layout: Layout, name: str) -> dict[str, Any]:
    """A configuration source that is a file replaced by rename."""
    return {
        "resource_api_version": "V3",
        # No watched directory: with it Envoy would read all files again when one of them changes.
        "path_config_source": {"path": str(layout.xds / name)},
    }


def bootstrap(layout: Layout) -> dict[str, Any]:
    """What Envoy reads once at its start."""
    return {
        "node": {"id": "mlops-portal-gateway", "cluster": "mlops-portal"},
        "admin": {"address": {"pipe": {"path": str(layout.envoy_admin), "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": watched(layout, "lds.json"),
            "cds_config": watched(layout, "cds.json"),
        },
        # Latencies reach the statistics only at a flush; the default of 5 s is as long as a release.
        "stats_flush_interval": "1s",
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"suffix": "upstream_rq_time"}, "buckets": BUCKETS}],
        },
    }


def listener(layout: Layout, address: str, port: int) -> dict[str, Any]:
    """The one listener: HTTP, routes by RDS, and no way to a model without a key that its route names."""
    manager = {
        "@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "rds": {"route_config_name": ROUTES, "config_source": watched(layout, "rds.json")},
        "http_filters": [
            key_filter(),
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{API}.extensions.filters.http.router.v3.Router"},
            },
        ],
        "local_reply_config": {"mappers": [says_401(NO_KEY, is_without_key()), says_401(WRONG_KEY)]},
        "use_remote_address": True,
        # One spelling per path, so that a rule for a path cannot be passed by in another spelling.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
    }
    return {
        "@type": f"{API}.config.listener.v3.Listener",
        "name": "gateway",
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def key_filter() -> dict[str, Any]:
    """Lets in who shows a key of the route. No key opens a route that names none, so that one which was
    written before there were keys is shut."""
    return {
        "name": API_KEY_AUTH,
        "typed_config": {
            "@type": f"{API}.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "key_sources": [{"header": KEY_HEADER}],
        },
    }


def says_401(sentence: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    """Says in JSON why the gateway itself (never a model) answers 401."""
    value = {"default_value": 401, "runtime_key": "mlops-portal.no-runtime"}
    is_401 = {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
    return {
        "filter": {"and_filter": {"filters": [is_401, *conditions]}} if conditions else is_401,
        "body_format_override": {"json_format": {"error": sentence}},
        # A route names in this header who has answered. Here nobody has, and who would have is no business
        # of somebody who was not let in.
        "headers_to_add": [
            {
                "header": {"key": DEPLOYMENT_HEADER, "value": "none"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def is_without_key() -> dict[str, Any]:
    """The request shows no key at all."""
    return {"header_filter": {"header": {"name": KEY_HEADER, "present_match": False}}}


def no_routes() -> dict[str, Any]:
    """Every request is answered with 404 until the router has written its own."""
    open_to_all = {"@type": f"{API}.config.route.v3.FilterConfig", "disabled": True}
    rest = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": {API_KEY_AUTH: open_to_all},
    }
    return {
        "@type": f"{API}.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{"name": "models", "domains": ["*"], "routes": [rest]}],
    }


def replace(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never half of one."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(content, indent=2))
    os.replace(beside, path)


def prepare(layout: Layout, address: str, port: int) -> None:
    """Write the bootstrap and the xDS files that are the stack's business."""
    replace(layout.envoy / "bootstrap.json", bootstrap(layout))
    replace(layout.xds / "lds.json", {"resources": [listener(layout, address, port)]})
    if not (layout.xds / "cds.json").exists():
        replace(layout.xds / "cds.json", {"resources": []})
    if not (layout.xds / "rds.json").exists():
        replace(layout.xds / "rds.json", {"resources": [no_routes()]})


def program(layout: Layout) -> Program:
    """Envoy in the foreground; several of them may run on one machine."""
    # Of `misc` errors only: at every change of a route it warns once more that api_key_auth is young.
    logged = ("--log-level", "warning", "--component-log-level", "misc:error")
    options = ("--disable-hot-restart", "--concurrency", "2", *logged)
    binary = package_folder("envoy") / "_bin" / "envoy"
    return Program(name="envoy", command=(str(binary), "-c", str(layout.envoy / "bootstrap.json"), *options))


def answers(layout: Layout, url: str) -> bool:
    """Whether Envoy is live and the listener of the gateway answers."""
    try:
        transport = httpx.HTTPTransport(uds=str(layout.envoy_admin))
        with httpx.Client(transport=transport, timeout=2) as admin:
            live = admin.get("http://envoy/ready").text.strip() == "LIVE"
        return live and httpx.get(url, timeout=2, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False
