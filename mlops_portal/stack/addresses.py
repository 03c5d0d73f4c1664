"""What the programs of the stack, and whoever talks to it, find in their environment.

Must not start anything. An engine whose URL is given from outside is left out of the stack.
"""

import base64
import os
import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_portal.stack.layout import PROJECT, Layout
from mlops_portal.stack.ports import model_ports
from mlops_portal.stack.postgres import database_url
from mlops_portal.stack.redis_server import CACHE_DATABASE, ONLINE_DATABASE, redis_url

LOOPBACK = "127.0.0.1"


def bind_address(given: Mapping[str, str]) -> str:
    """Where pages and gateway listen; MLflow, which has no log-in, stays on loopback."""
    return given.get("BIND_ADDRESS") or LOOPBACK


def addresses(layout: Layout, given: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """The variables that `var/stack.env` holds; what the environment says comes first."""
    computed = {
        "DATABASE_URL": database_url(layout, "portal"),
        "REDIS_URL": redis_url(layout),
        "PORTAL_VAR": str(layout.var),
        "PORTAL_SECRET_KEY": kept_secret(layout.secrets, "PORTAL_SECRET_KEY"),
        "MLFLOW_WEBHOOK_SECRET": kept_secret(layout.secrets, "MLFLOW_WEBHOOK_SECRET"),
        "SUPERVISOR_SOCKET": str(layout.supervisor_socket),
        "FORK_SERVER": str(layout.fork_server),
        "ENVOY_ADMIN": str(layout.envoy_admin),
        "ENVOY_XDS": str(layout.xds),
        "MODELS_PYTHON": str(PROJECT / ".venv-models" / "bin"),
        "MODEL_ENCRYPTION_KEY": kept_secret(layout.model_secrets, "MODEL_ENCRYPTION_KEY"),
        "FEATURE_STORE": str(layout.feature_store),
    }
    if redis_port := ports.get("MODEL_REDIS_PORT"):
        computed["MODEL_CACHE_URL"] = f"redis://{LOOPBACK}:{redis_port}/{CACHE_DATABASE}"
        computed["FEATURE_ONLINE_URL"] = f"{LOOPBACK}:{redis_port}/{ONLINE_DATABASE}"
    for name, setting in (
        ("PORTAL_URL", "PORTAL_PORT"),
        ("GATEWAY_URL", "GATEWAY_PORT"),
        ("MLFLOW_TRACKING_URI", "MLFLOW_PORT"),
    ):
        if setting in ports:
            computed[name] = f"http://{LOOPBACK}:{ports[setting]}"
    own_block = model_ports(ports.get("GATEWAY_PORT", 0))
    if own_block:
        computed["MODEL_PORTS"] = own_block
    names = {*computed, "MLFLOW_TRACKING_URI", "MODEL_PORTS", "MODEL_CACHE_URL", "FEATURE_ONLINE_URL"}
    # The folder was resolved from it, so PORTAL_VAR itself is never taken over as it was written.
    overrides = {name: given[name] for name in names - {"PORTAL_VAR"} if given.get(name)}
    return computed | overrides


def kept_secret(path: Path, name: str) -> str:
    """A secret in a private file, made at the first start that knows of it."""
    known = read_environment_file(path) if path.exists() else {}
    if name not in known:
        known[name] = MADE_BY[name]()
        write_private(path, known)
    return known[name]


def _fernet_key() -> str:
    """32 bytes in URL-safe base64, as Fernet wants them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


MADE_BY: dict[str, Callable[[], str]] = {
    "PORTAL_SECRET_KEY": lambda: secrets.token_urlsafe(64),
    "MLFLOW_WEBHOOK_SECRET": lambda: secrets.token_urlsafe(48),
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": _fernet_key,
    "MODEL_ENCRYPTION_KEY": _fernet_key,
}


def write_private(path: Path, values: Mapping[str, str]) -> None:
    """Write `KEY=value` lines, quoted for a shell, readable by nobody else, all or nothing."""
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in sorted(values.items()))
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(beside, path)


def read_environment_file(path: Path) -> dict[str, str]:
    """The inverse of `write_private`."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if line)
    return {key: "".join(shlex.split(value)) for key, _, value in pairs}
