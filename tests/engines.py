"""One real PostgreSQL and one real Redis for a whole test run, started when the first test needs them.

Their addresses are known before they run, so the settings of Django can be read at once. With
pytest-xdist all workers share the engines; the controller ends them. A run with DATABASE_URL and
REDIS_URL in the environment uses those and starts nothing.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from mlops_portal.stack.control import Supervisor
from mlops_portal.stack.layout import layout_of
from mlops_portal.stack.leftovers import end_leftovers
from mlops_portal.stack.postgres import database_url
from mlops_portal.stack.redis_server import redis_url
from mlops_portal.stack.stack import Stack

PREFIX = "mlops-tests-"
FOLDER = "TEST_ENGINES"  # the environment variable by which xdist's workers find the controller's
# What the settings read besides; fixed, so that a stack running in `var/` has no part in the tests.
SETTINGS = {"PORTAL_SECRET_KEY": "only-for-tests-" + "x" * 50}


def announce() -> None:
    """Put the addresses of the engines to come into the environment (controller only)."""
    end_abandoned()
    var = Path(tempfile.gettempdir()).resolve() / f"{PREFIX}{os.getpid()}"
    layout = layout_of(var)
    os.environ[FOLDER] = str(var)
    os.environ["PORTAL_VAR"] = str(var)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    missing = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
    os.environ["TEST_ENGINES_OWN"] = " ".join(missing)
    if "DATABASE_URL" in missing:
        os.environ["DATABASE_URL"] = database_url(layout, "portal")
    if "REDIS_URL" in missing:
        os.environ["REDIS_URL"] = redis_url(layout)


def use_own_redis_database(worker: str) -> None:
    """Workers side by side must not see each other's keys: `gw2` takes database 2 of 16."""
    if "REDIS_URL" in os.environ["TEST_ENGINES_OWN"]:
        layout = layout_of(Path(os.environ[FOLDER]))
        os.environ["REDIS_URL"] = redis_url(layout, int(worker.removeprefix("gw")) % 16)


def start() -> None:
    """Start the engines unless another worker of this test run has."""
    names = {"DATABASE_URL": "postgres", "REDIS_URL": "redis"}
    services = [names[missing] for missing in os.environ["TEST_ENGINES_OWN"].split()]
    if not services:
        return
    var = Path(os.environ[FOLDER])
    var.mkdir(mode=0o711, exist_ok=True)
    with (var / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if Supervisor(layout_of(var).supervisor_socket).answers():
            return
        given = {"PATH": os.environ.get("PATH", os.defpath)}
        Stack(var, given=given, services=services, durable=False).start()


def stop() -> None:
    """End the engines, if they were started, and remove their folder (controller only)."""
    remove(Path(os.environ[FOLDER]))


def end_abandoned() -> None:
    """End the engines of test runs that were killed before they could."""
    for var in Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"):
        owner = var.name.removeprefix(PREFIX)
        if var.stat().st_uid == os.geteuid() and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            remove(var)


def remove(var: Path) -> None:
    """Throw a stack of tests away; its data is worth nothing."""
    end_leftovers(var)
    shutil.rmtree(var, ignore_errors=True)
