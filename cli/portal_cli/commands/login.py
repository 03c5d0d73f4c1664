"""`portal login`: keep address, tenant and token for the next commands."""

import sys
import time

import click

from portal_cli import configuration, options
from portal_cli.configuration import Connection
from portal_cli.errors import Misused
from portal_cli.http import Http, Patience
from portal_cli.portal import Portal


@click.command()
@options.option("--url", help="Address of the portal.")
@options.option("--tenant", help="The tenant's name in addresses.")
def login(url: str | None, tenant: str | None) -> None:
    """Store where the portal is and who you are.

    The token is asked for, or read from standard input, never an argument; it is tried first."""
    is_person = sys.stdin.isatty()
    if not is_person and not (url and tenant):
        raise Misused("Without a terminal, say --url and --tenant; the token is read from standard input.")
    stored = configuration.load() if is_person else {}
    where = configuration.checked_url(url or click.prompt("Portal", default=stored.get("url"), err=True))
    who = tenant or click.prompt("Tenant", default=stored.get("tenant"), err=True)
    said = click.prompt("Token", hide_input=True, err=True) if is_person else sys.stdin.readline()
    given = Connection(where, who, configuration.checked_token(said))
    http = Http(given, Patience(10.0, time.monotonic, time.sleep, _notice))
    try:
        Portal(http).knock()
    finally:
        http.close()
    path = configuration.store(given)
    click.echo(f"{who} at {where}: the token works; it is in {path}, readable for you only.")


def _notice(text: str) -> None:
    click.echo(text, err=True)
