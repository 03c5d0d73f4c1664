"""The ordered steps of a start: what is done, what is started, and when it counts as ready.

Knows how each program shows that it is ready; must not know how programs are started.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from mlops_portal.stack import gateway, postgres, redis_server
from mlops_portal.stack.errors import StackError
from mlops_portal.stack.layout import ENVIRONMENT_BIN, PROJECT
from mlops_portal.stack.postgres import with_database

if TYPE_CHECKING:
    from mlops_portal.stack.stack import Stack


def nothing() -> None:
    """A step without an action of its own."""


def at_once() -> bool:
    """A step that is over when its action is."""
    return True


@dataclass(frozen=True)
class Step:
    """Act, start the programs of `starts`, then wait until `ready`.

    `awaits` are the programs that are waited for: their logs tell why it takes so long.
    """

    label: str
    act: Callable[[], None] = nothing
    starts: tuple[str, ...] = ()
    ready: Callable[[], bool] = at_once
    awaits: tuple[str, ...] = ()
    patience: float = 120


def start_steps(stack: "Stack") -> list[Step]:
    """The steps for the services of this stack. Slow starters begin early and are awaited late."""
    environment = stack.environment()
    candidates = [
        *engine_steps(stack, environment),
        *portal_steps(stack),
        Step(
            "MLflow",
            ready=lambda: responds(environment["MLFLOW_TRACKING_URI"] + "/health"),
            awaits=("mlflow",),
            patience=300,
        ),
        Step("Webhook of MLflow", act=lambda: connect_mlflow(stack), awaits=("web", "mlflow")),
        Step("Clock", ready=LogLine(stack, "beat", "beat: Starting"), awaits=("beat",)),
    ]
    # A step about programs that are not part of this stack (external, or not chosen) falls away.
    return [step for step in candidates if {*step.starts, *step.awaits} <= set(stack.services)]


def engine_steps(stack: "Stack", environment: dict[str, str]) -> list[Step]:
    """The engines; whatever can start without waiting for another is started with the first."""
    url = environment["DATABASE_URL"]
    embedded = "postgres" in stack.services
    entrance = with_database(url, "postgres") if embedded else url

    def create_databases() -> None:
        if embedded:
            postgres.ensure_database(entrance, "portal")
        if "mlflow" in stack.services and not stack.given.get("MLFLOW_BACKEND_STORE_URI"):
            postgres.ensure_database(entrance, "mlflow")

    after_databases = ("mlflow",) if "mlflow" in stack.services else ()
    engines = ("postgres", "redis", "redis-models", "envoy")
    early = tuple(name for name in engines if name in stack.services)
    return [
        Step("Supervisor", starts=early),
        Step("PostgreSQL", ready=lambda: postgres.answers(entrance), awaits=("postgres",)),
        Step("Databases", act=create_databases, starts=after_databases),
        Step("Redis", ready=lambda: redis_server.answers(environment["REDIS_URL"]), awaits=("redis",)),
        Step(
            "Redis of the models",
            ready=lambda: redis_server.answers(environment["MODEL_CACHE_URL"]),
            awaits=("redis-models",),
        ),
        Step(
            "Gateway",
            ready=lambda: gateway.answers(stack.layout, environment["GATEWAY_URL"]),
            awaits=("envoy",),
        ),
    ]


def portal_steps(stack: "Stack") -> list[Step]:
    """The portal itself, once its tables are there."""
    if "web" not in stack.services:
        return []

    def migrate() -> None:
        manage(stack, "migrate", "--no-input", "--skip-checks")

    def first_start() -> None:
        stack.first_login = manage(stack, "first_start").strip()

    programs = ("web", "worker-control", "worker-heavy", "beat")
    return [
        Step("Tables", act=migrate),
        Step("First administrator", act=first_start),
        Step(
            "Pages",
            starts=tuple(name for name in programs if name in stack.services),
            ready=lambda: responds(f"http://127.0.0.1:{stack.ports['PORTAL_PORT']}/healthz"),
            awaits=("web",),
        ),
        *(
            Step(label, ready=LogLine(stack, program, " ready."), awaits=(program,))
            for label, program in (("Worker", "worker-control"), ("Worker for heavy tasks", "worker-heavy"))
        ),
    ]


def connect_mlflow(stack: "Stack") -> None:
    """Have MLflow tell of new versions by itself. Without that they are found by polling, so the start goes
    on when it does not work."""
    try:
        manage(stack, "connect_mlflow")
    except StackError as error:
        stack.notices.append(
            f"MLflow does not tell of new versions, they are found every 10 s instead: {error}"
        )


def manage(stack: "Stack", *arguments: str) -> str:
    """Run `manage.py` against this stack; returns what it printed."""
    command = [str(ENVIRONMENT_BIN / "python"), str(PROJECT / "manage.py"), *arguments]
    result = subprocess.run(
        command, env=stack.process_environment(), cwd=PROJECT, capture_output=True, text=True
    )
    if result.returncode:
        end = "\n".join((result.stdout + result.stderr).splitlines()[-15:])
        raise StackError(f"manage.py {' '.join(arguments)} failed:\n{end}")
    return result.stdout


def responds(url: str) -> bool:
    """Whether a web server answers there without an error of its own."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


class LogLine:
    """Ready when a program has written this text since the stack's start."""

    def __init__(self, stack: "Stack", program: str, text: str) -> None:
        self.path = stack.layout.log_of(program)
        self.text = text.encode()
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def __call__(self) -> bool:
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return self.text in file.read()
