"""Prepares a deployment whose engines run elsewhere, for example in containers.

Writes the gateway's files into `var/`, creates MLflow's database, brings the tables up to date and
makes the first administrator. Starts nothing; safe to repeat.
"""

from mlops_portal.stack import gateway, postgres
from mlops_portal.stack.addresses import bind_address
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.ports import DEFAULTS, parsed
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import manage

NEEDED = ("DATABASE_URL", "REDIS_URL", "MLFLOW_TRACKING_URI", "PORTAL_SECRET_KEY")


def prepare(stack: Stack) -> str:
    """Carry it out; returns what the first start has to say."""
    missing = [name for name in NEEDED if not stack.given.get(name)]
    if missing:
        raise StackError(f"set {', '.join(missing)}: without an embedded stack they have no values")
    stack.layout.prepare()
    port = parsed("GATEWAY_PORT", stack.given.get("GATEWAY_PORT") or str(DEFAULTS["GATEWAY_PORT"]))
    if port is None:
        raise StackError("GATEWAY_PORT must be a number here: the gateway is started by somebody else")
    gateway.prepare(stack.layout, bind_address(stack.given), port)
    postgres.ensure_database(stack.given["DATABASE_URL"], "mlflow")
    manage(stack, "migrate", "--no-input")
    return manage(stack, "first_start").strip()
