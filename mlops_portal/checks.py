"""System checks of the settings: each has an id and a hint that says what to do."""

import base64
import binascii
import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from releases.domain.commit import Allowances
from releases.domain.errors import Invalid

SHORTEST_SECRET = 32
SETTINGS = "settings"  # the tag by which a command asks for these and for no others


@register(SETTINGS)
def check_model_ports(**kwargs: Any) -> list[CheckMessage]:
    """The port range of the model servers is `first-last` with room for one server (3 ports)."""
    first, _, last = settings.MODEL_PORTS.partition("-")
    if first.isdigit() and last.isdigit() and 1024 <= int(first) <= int(last) - 2 <= 65_533:
        return []
    hint = "Write it as first-last, for example 21000-21999."
    return [Error(f"MODEL_PORTS is {settings.MODEL_PORTS!r}.", hint=hint, id="mlops_portal.E002")]


@register(SETTINGS)
def check_urls(**kwargs: Any) -> list[CheckMessage]:
    """Addresses of engines are absolute http(s) URLs."""
    names = ("PORTAL_URL", "GATEWAY_URL", "MLFLOW_TRACKING_URI", "GITHUB_API_URL")
    return [
        Error(
            f"{name} is {value!r}.",
            hint="Begin it with http:// or https://.",
            id="mlops_portal.E003",
        )
        for name in names
        if not (value := str(getattr(settings, name))).startswith(("http://", "https://"))
    ]


@register(SETTINGS)
def check_mlflow_webhook(**kwargs: Any) -> list[CheckMessage]:
    """The secret of MLflow's messages, if there is one, cannot be guessed; their window is a few minutes."""
    found: list[tuple[str, str]] = []
    secret, window = settings.MLFLOW_WEBHOOK_SECRET, settings.MLFLOW_WEBHOOK_WINDOW
    if secret and len(secret) < SHORTEST_SECRET:  # its value is not told
        hint = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
        found.append((f"MLFLOW_WEBHOOK_SECRET has {len(secret)} characters.", hint))
    if not 10 <= window <= 3600:
        found.append((f"MLFLOW_WEBHOOK_WINDOW is {window}.", "Give 10 to 3600 seconds; 300 is usual."))
    return [Error(said, hint=hint, id="mlops_portal.E007") for said, hint in found]


@register(SETTINGS)
def check_commit_statuses(**kwargs: Any) -> list[CheckMessage]:
    """Who may set which statuses can be read, and there is a token to set them with."""
    listed, token = settings.GITHUB_STATUS_REPOSITORIES, settings.GITHUB_TOKEN
    found: list[tuple[str, str]] = []
    try:
        Allowances.parse(listed)
    except Invalid as error:
        hint = "Write it as tenant=owner/*,owner/name;tenant=owner/name."
        found.append((f"GITHUB_STATUS_REPOSITORIES cannot be read: {error}.", hint))
    if listed and not token:
        hint = "Set it to a token that may write commit statuses, or name no repositories."
        found.append(("GITHUB_STATUS_REPOSITORIES is set and GITHUB_TOKEN is not.", hint))
    if any(not "!" <= character <= "~" for character in token):  # its value is a secret
        found.append(("GITHUB_TOKEN has characters that no token has.", "Look for line breaks and blanks."))
    return [Error(said, hint=hint, id="mlops_portal.E008") for said, hint in found]


@register(SETTINGS)
def check_pod_proxy(**kwargs: Any) -> list[CheckMessage]:
    """The proxy that leads to the pods of clusters is an http:// URL, or none is set."""
    proxy = settings.KUBERNETES_POD_PROXY
    if not proxy or proxy.startswith("http://"):
        return []
    hint = "Write it as http://host:port, or leave it empty to ask pods directly."
    return [Error(f"KUBERNETES_POD_PROXY is {proxy!r}.", hint=hint, id="mlops_portal.E005")]


@register(SETTINGS)
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


@register(SETTINGS)
def check_beside_models(**kwargs: Any) -> list[CheckMessage]:
    """What model processes are told: well-formed, and the database of the portal itself is not among it."""
    cache, online, store = settings.MODEL_CACHE_URL, settings.FEATURE_ONLINE_URL, settings.FEATURE_STORE
    found: list[tuple[str, str, str]] = []
    if cache and not cache.startswith(("redis://", "rediss://", "unix://")):
        found.append(("MODEL_CACHE_URL", repr(cache), "Begin it with redis://, rediss:// or unix://."))
    if cache and cache == settings.REDIS_URL:
        hint = "Give models a Redis of their own: in the portal's they could write messages to its workers."
        found.append(("MODEL_CACHE_URL", "the same as REDIS_URL", hint))
    if online and not re.fullmatch(r"[^\s/:@]+:\d{1,5}/\d{1,3}", online):
        found.append(
            ("FEATURE_ONLINE_URL", repr(online), "Write it as host:port/database: 127.0.0.1:6390/1.")
        )
    if store and not Path(store).is_absolute():
        hint = "Write the absolute path of the folder with feature_store.yaml."
        found.append(("FEATURE_STORE", repr(store), hint))
    keys = settings.MODEL_ENCRYPTION_KEY
    if keys and not all(_is_fernet_key(key) for key in keys.split(",")):
        hint = "Separate Fernet keys (32 bytes in URL-safe base64) by commas; the first encrypts."
        found.append(("MODEL_ENCRYPTION_KEY", "no list of Fernet keys", hint))  # its value is a secret
    return [Error(f"{name} is {is_}.", hint=hint, id="mlops_portal.E006") for name, is_, hint in found]


def _is_fernet_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.strip(), altchars=b"-_", validate=True)) == 32
    except binascii.Error:
        return False
