"""Where the portal is and who asks: from options and environment, else from what `portal login` has stored.

The token is never an option: arguments are seen by everybody on the machine and kept in shells' histories.
A stored token goes to the portal and the tenant it was stored for, and to no other.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from portal_cli.errors import Misused

FILE = "config.json"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and who; `token` is kept out of every text."""

    url: str
    tenant: str
    token: str

    def __repr__(self) -> str:
        return f"Connection({self.url}, {self.tenant})"


def path() -> Path:
    """The file of `portal login`."""
    return Path(click.get_app_dir("portal")) / FILE


def checked_url(text: str) -> str:
    """The address without a slash at its end; raises `Misused` when it is none."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        fits = False
    if not fits or parts.username is not None:
        raise Misused(f"{text!r} is no address of a portal; it looks like https://portal.example.com.")
    return url


def checked_token(text: str) -> str:
    """The token without white space round it; raises `Misused` when it cannot be one."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Misused("That is no token: it is one word of plain letters and digits.")
    return token


def connection(url: str | None, tenant: str | None, environment: Mapping[str, str]) -> Connection:
    """Put together what is given and what is stored; raises `Misused` naming what is missing."""
    stored = load()
    token = environment.get("PORTAL_TOKEN", "")
    where = checked_url(url or stored.get("url", "")) if url or stored.get("url") else ""
    who = tenant or stored.get("tenant", "")
    if not token and (where, who) == (stored.get("url"), stored.get("tenant")):
        token = stored.get("token", "")
    named = {"PORTAL_URL": where, "PORTAL_TENANT": who, "PORTAL_TOKEN": token}
    missing = [name for name, value in named.items() if not value]
    if missing:
        raise Misused(
            f"Set {', '.join(missing)}, or run `portal login` once. A stored token is used only for the "
            "portal and the tenant it was stored for."
        )
    return Connection(where, who, checked_token(token))


def load() -> dict[str, str]:
    """What is stored; empty when nothing is. Raises `Misused` when it cannot be read."""
    try:
        found = json.loads(path().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Misused(f"{path()} cannot be read ({error}); run `portal login` again.") from error
    if not isinstance(found, dict):
        raise Misused(f"{path()} is not what `portal login` writes; run it again.")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def store(given: Connection) -> Path:
    """Replace what is stored, readable for nobody else at any moment."""
    target = path()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"url": given.url, "tenant": given.tenant, "token": given.token}
    handle, written = tempfile.mkstemp(dir=target.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        os.replace(written, target)
    except BaseException:
        os.unlink(written)
        raise
    return target
