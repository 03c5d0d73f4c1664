"""System checks of the settings: each has an id and a hint that says what to do."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_model_ports(**kwargs: Any) -> list[CheckMessage]:
    """The port range of the model servers is `first-last` with room for one server (3 ports)."""
    first, _, last = settings.MODEL_PORTS.partition("-")
    if first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) - 2 <= 65_533:
        return []
    hint = "Write it as first-last, for example 21000-21999."
    return [Error(f"MODEL_PORTS is {settings.MODEL_PORTS!r}.", hint=hint, id="mlops_portal.E002")]


@register()
def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """Addresses of engines are absolute http(s) URLs."""
    names = ("PORTAL_URL", "GATEWAY_URL", "MLFLOW_TRACKING_URI")
    return [
        Error(
            f"{name} is {value!r}.",
            hint="Begin it with http:// or https://.",
            id="mlops_portal.E003",
        )
        for name in names
        if not (value := str(getattr(settings, name))).startswith(("http://", "https://"))
    ]


@register()
def check_pod_proxy(**kwargs: Any) -> list[CheckMessage]:
    """The proxy that leads to the pods of clusters is an http:// URL, or none is set."""
    proxy = settings.KUBERNETES_POD_PROXY
    if not proxy or proxy.startswith("http://"):
        return []
    hint = "Write it as http://host:port, or leave it empty to ask pods directly."
    return [Error(f"KUBERNETES_POD_PROXY is {proxy!r}.", hint=hint, id="mlops_portal.E005")]


@register()
def check_gateway_token(**kwargs: Any) -> list[CheckMessage]:
    """The portal's token for gateways has hosts to which it may be shown, and they are mere hosts."""
    hosts = settings.GATEWAY_TOKEN_HOSTS
    if bool(settings.GATEWAY_TOKEN_FILE) == bool(hosts) and not any(
        set(host) & set("/:@ ") for host in hosts
    ):
        return []
    said = f"GATEWAY_TOKEN_FILE is {settings.GATEWAY_TOKEN_FILE!r} and GATEWAY_TOKEN_HOSTS is {hosts!r}."
    hint = "Set both or none; hosts without scheme and port, for example models.example.org."
    return [Error(said, hint=hint, id="mlops_portal.E004")]
