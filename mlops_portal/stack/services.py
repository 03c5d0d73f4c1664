"""The programs of the portal's stack: which there are, with which command, and in which order.

Must not start them. An engine whose URL the environment gives is not among them.
"""

import pwd
from collections.abc import Collection, Mapping

from mlops_portal.stack import gateway, postgres, redis_server
from mlops_portal.stack.addresses import LOOPBACK, bind_address, kept_secret
from mlops_portal.stack.layout import ENVIRONMENT_BIN, Layout
from mlops_portal.stack.postgres import database_url, with_database
from mlops_portal.stack.programs import Program, with_launcher

# In the order of the start; the stop goes backwards.
EVERYTHING = (
    "postgres",
    "redis",
    "redis-models",
    "mlflow",
    "envoy",
    "web",
    "worker-control",
    "worker-heavy",
    "beat",
)
EXTERNAL = {
    "postgres": "DATABASE_URL",
    "redis": "REDIS_URL",
    "redis-models": "MODEL_CACHE_URL",
    "mlflow": "MLFLOW_TRACKING_URI",
}
PORT_SETTINGS = {
    "web": "PORTAL_PORT",
    "envoy": "GATEWAY_PORT",
    "mlflow": "MLFLOW_PORT",
    "redis-models": "MODEL_REDIS_PORT",
}


def wanted_services(chosen: Collection[str], given: Mapping[str, str]) -> list[str]:
    """Those of `chosen` that are not replaced by an engine outside, in order."""
    unknown = set(chosen) - set(EVERYTHING)
    if unknown:
        raise ValueError(f"no such program: {', '.join(sorted(unknown))}")
    return [name for name in EVERYTHING if name in chosen and not given.get(EXTERNAL.get(name, ""))]


def build_programs(
    layout: Layout,
    services: Collection[str],
    given: Mapping[str, str],
    ports: Mapping[str, int],
    account: pwd.struct_passwd | None,
    durable: bool,
) -> list[Program]:
    """The programs with their commands."""
    builders = {
        "postgres": lambda: postgres.program(layout, account, durable),
        "redis": lambda: redis_server.program(layout, durable),
        "redis-models": lambda: redis_server.models_program(
            layout, durable, LOOPBACK, ports["MODEL_REDIS_PORT"]
        ),
        "mlflow": lambda: mlflow(layout, given, ports["MLFLOW_PORT"]),
        "envoy": lambda: gateway.program(layout),
        "web": lambda: web(layout, bind_address(given), ports["PORTAL_PORT"]),
        "worker-control": lambda: worker("control", concurrency=2),
        "worker-heavy": lambda: worker("heavy", concurrency=2),
        "beat": lambda: beat(layout),
    }
    return [builders[name]() for name in services]


def mlflow_store(layout: Layout, given: Mapping[str, str]) -> str:
    """Where MLflow keeps its tables: a database of its own beside the portal's."""
    if given.get("MLFLOW_BACKEND_STORE_URI"):
        return given["MLFLOW_BACKEND_STORE_URI"]
    if given.get("DATABASE_URL"):
        _, _, rest = with_database(given["DATABASE_URL"], "mlflow").partition("://")
        return f"postgresql+psycopg://{rest}"
    return database_url(layout, "mlflow", "postgresql+psycopg")


def mlflow(layout: Layout, given: Mapping[str, str], port: int) -> Program:
    """The MLflow server, which also hands out the artifacts."""
    command = (
        str(ENVIRONMENT_BIN / "mlflow"),
        "server",
        *("--host", LOOPBACK, "--port", str(port), "--workers", "1", "--serve-artifacts"),
        *("--artifacts-destination", str(layout.mlflow_artifacts)),
    )
    environment = {
        # By the environment, because it may hold a password, which `ps` would show.
        "MLFLOW_BACKEND_STORE_URI": mlflow_store(layout, given),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_TRACKING_URI": "",
        # It keeps the secret of its webhook encrypted with this, and may send to the portal beside it.
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": given.get("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
        or kept_secret(layout.secrets, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    }
    return Program("mlflow", with_launcher("mlflow", command), environment=environment, whole_group=True)


def web(layout: Layout, address: str, port: int) -> Program:
    """Pages and API under uvicorn."""
    command = (
        str(ENVIRONMENT_BIN / "uvicorn"),
        "mlops_portal.asgi:application",
        *("--host", address, "--port", str(port), "--workers", "2", "--timeout-graceful-shutdown", "10"),
        *("--no-access-log", "--no-server-header", "--no-proxy-headers", "--lifespan", "off"),
        # Longer than any poll: a connection that ends while its next request is on the way is an error.
        *("--timeout-keep-alive", "75"),
    )
    environment = {"DATABASE_POOL_SIZE": "16"}
    return Program("web", with_launcher("web", command), environment=environment)


# `first_start` has checked the settings by then; a worker that is started anew after a crash is wanted soon.
CELERY_ENVIRONMENT = {"CELERY_SKIP_CHECKS": "1"}


def worker(queue: str, concurrency: int) -> Program:
    """A Celery worker for one queue."""
    name = f"worker-{queue}"
    # Validation computes for seconds; what answers callers at the same time goes first.
    politely = ("nice", "-n", "10") if queue == "heavy" else ()
    command = (
        *(*politely, str(ENVIRONMENT_BIN / "celery"), "-A", "mlops_portal", "worker", "-Q", queue),
        *("--hostname", f"{queue}@portal", "--concurrency", str(concurrency), "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle"),
    )
    return Program(name, with_launcher(name, command), environment=CELERY_ENVIRONMENT)


def beat(layout: Layout) -> Program:
    """Celery's clock. It keeps no pid file: one left behind would stop the next start."""
    command = (
        *(str(ENVIRONMENT_BIN / "celery"), "-A", "mlops_portal", "beat", "--loglevel", "INFO"),
        *("--schedule", str(layout.celery / "beat-schedule"), "--pidfile="),
    )
    return Program("beat", with_launcher("beat", command), environment=CELERY_ENVIRONMENT)
