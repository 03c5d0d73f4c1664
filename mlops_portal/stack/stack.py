"""Starts, watches and stops the whole stack of one `var` folder.

Knows the order of things and when each is ready; must not know what the portal does with them.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mlops_portal.stack import gateway, postgres
from mlops_portal.stack.accounts import database_account
from mlops_portal.stack.addresses import addresses, bind_address, write_private
from mlops_portal.stack.control import Supervisor
from mlops_portal.stack.errors import AlreadyRunning, NotReady, StackError
from mlops_portal.stack.layout import ENVIRONMENT_BIN, PROJECT, Layout, layout_of
from mlops_portal.stack.leftovers import MARKER, end_leftovers, stack_processes
from mlops_portal.stack.ports import choose, wishes
from mlops_portal.stack.programs import supervisor_configuration
from mlops_portal.stack.progress import Progress, Silent
from mlops_portal.stack.services import EVERYTHING, PORT_SETTINGS, build_programs, wanted_services
from mlops_portal.stack.steps import Step, start_steps

# Stopped in this order; what is in none of them, the model servers, goes first.
STOP_ORDER = (
    {"beat", "worker-control", "worker-heavy", "web"},
    {"envoy", "mlflow"},
    {"redis", "redis-models", "postgres"},
)
STARTS = 4  # so often may a program end while its readiness is awaited


class Stack:
    """The engines of one `var` folder.

    `given` is the environment to obey (default: that of this process); `services` may name a part of
    the programs; `durable=False` trades safety against a crash of the machine for speed, for tests.
    """

    def __init__(
        self,
        var: Path,
        given: Mapping[str, str] | None = None,
        services: Collection[str] = EVERYTHING,
        durable: bool = True,
    ) -> None:
        self.layout: Layout = layout_of(var)
        self.given = dict(os.environ if given is None else given)
        self.services = wanted_services(services, self.given)
        self.durable = durable
        self.ports: dict[str, int] = {}
        self.first_login = ""
        self.notices: list[str] = []  # of steps that did not work and that the stack can do without
        self.supervisor = Supervisor(self.layout.supervisor_socket)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """The variables by which others reach this stack; also in `var/stack.env`."""
        return addresses(self.layout, self.given, self.ports)

    def process_environment(self) -> dict[str, str]:
        """The whole environment of the programs."""
        path = os.pathsep.join([str(ENVIRONMENT_BIN), self.given.get("PATH", os.defpath)])
        return {**self.given, **self.environment(), "PATH": path, "PYTHONUNBUFFERED": "1"}

    def start(self, progress: Progress | None = None) -> None:
        """Start everything and return when it is ready. On any failure nothing stays behind."""
        teller = progress or Silent()
        self._take_lock()
        try:
            self._prepare(teller)
            self._start_supervisor()
            steps = start_steps(self)
            for position, step in enumerate(steps, start=1):
                self._take(step, position, len(steps), teller)
        except BaseException:
            self.stop()
            raise

    def _take_lock(self) -> None:
        """Hold `var/stack.lock` as long as this process lives; the kernel frees it at its death."""
        self.layout.prepare()
        file = self.layout.lock.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = starter_of(self.layout) or "unknown"
            file.close()
            raise AlreadyRunning(
                f"the stack in {self.layout.var} is running already (process {owner}); "
                f"stop it with `python -m mlops_portal.stack stop`"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock = file

    def _prepare(self, progress: Progress) -> None:
        """Everything that happens before the first program runs."""
        ended = end_leftovers(self.layout.var)
        if ended:
            progress.notice(f"ended {ended} processes that an earlier run had left behind")
        address = bind_address(self.given)
        settings = [PORT_SETTINGS[name] for name in self.services if name in PORT_SETTINGS]
        self.ports = choose(wishes(self.given, settings), address, self.layout.ports_file)
        account = None
        if "postgres" in self.services:
            account = database_account(self.layout.postgres)
            for notice in postgres.prepare(self.layout, account):
                progress.notice(notice)
        if "envoy" in self.services:
            gateway.prepare(self.layout, address, self.ports["GATEWAY_PORT"])
        programs = build_programs(self.layout, self.services, self.given, self.ports, account, self.durable)
        configuration = self.layout.supervisor_configuration
        configuration.touch(mode=0o600)
        configuration.write_text(supervisor_configuration(self.layout, programs))
        write_private(self.layout.environment_file, self.environment())

    def _start_supervisor(self) -> None:
        """In a session of its own, so that Ctrl-C at the terminal reaches only this process."""
        self.layout.supervisor_socket.unlink(missing_ok=True)
        command = [str(ENVIRONMENT_BIN / "supervisord"), "-c", str(self.layout.supervisor_configuration)]
        with self.layout.log_of("supervisord.out").open("w") as output:
            self._process = subprocess.Popen(
                command,
                env={**self.process_environment(), MARKER: str(self.layout.var)},
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while not self.supervisor.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"supervisord did not start:\n{tail(self.layout.log_of('supervisord.out'))}")
            time.sleep(0.02)

    def _take(self, step: Step, position: int, total: int, progress: Progress) -> None:
        """Carry out one step of the start and tell about it."""
        progress.begin(step.label, position, total)
        began = time.monotonic()
        step.act()
        for program in step.starts:
            self.supervisor.start(program)
        lives: set[tuple[str, int]] = set()
        while not step.ready():
            lives |= {(name, self.supervisor.program(name)["start"]) for name in step.awaits}
            if len(lives) > STARTS or time.monotonic() - began > step.patience:
                raise self._not_ready(step, ends_by_itself=len(lives) > STARTS)
            time.sleep(0.05)
        progress.finish(step.label, time.monotonic() - began)
        while self.notices:
            progress.notice(self.notices.pop(0))

    def _not_ready(self, step: Step, ends_by_itself: bool) -> NotReady:
        what = (
            "ends by itself again and again"
            if ends_by_itself
            else f"was not ready within {step.patience:.0f} s"
        )
        tails = [f"--- {path}\n{tail(path)}" for path in map(self.layout.log_of, step.awaits)]
        return NotReady("\n".join([f"{step.label} {what}", *tails]))

    def pid_of(self, program: str) -> int | None:
        """The process id of a running program."""
        return self.supervisor.program(program)["pid"] or None

    def alive(self) -> bool:
        """Whether the supervisor that this object started is still there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop everything in reverse order and leave no process behind; safe to repeat."""
        if self.supervisor.answers():
            names = {f"{info['group']}:{info['name']}" for info in self.supervisor.programs()}
            ours = {f"{name}:{name}" for name in EVERYTHING}
            self.supervisor.stop_all(names - ours)
            for tier in STOP_ORDER:
                self.supervisor.stop_all(names & {f"{name}:{name}" for name in tier})
            self.supervisor.shutdown()
        self._await_end(patience=10)
        end_leftovers(self.layout.var)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _await_end(self, patience: float) -> None:
        """Wait until supervisord has ended by itself."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self._process is not None:
                self._process.poll()
            if not stack_processes(self.layout.var):
                break
            time.sleep(0.05)


def starter_of(layout: Layout) -> int | None:
    """The process that runs this stack in the foreground, if there is one."""
    try:
        with layout.lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().strip() or 0) or None
    except OSError:
        return None
    return None


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log."""
    if not path.exists():
        return "(empty)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
