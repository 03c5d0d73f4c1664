"""The local serving target: one MLServer process per deployment, kept alive by supervisord.

Each is forked from a process that has imported what they all need (`serving.fork_server`).

Everything it knows is in files and in the supervisor; several processes may use it at once. Knows
nothing of routes and releases.
"""

import fcntl
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from supervisor.states import ProcessStates

from releases.adapters.target.mlserver_files import (
    FORK_SERVER,
    HOST,
    STOP_SECONDS,
    PortTriple,
    ServerFiles,
    ServerRecord,
    model_settings,
)
from releases.adapters.target.supervisor import ALIVE, WITHOUT_PROCESS, Supervisor
from releases.domain.release import TargetState
from releases.ports import Deployment, Preview, Problem, Refused, TargetStatus, Unreachable

REF = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PROGRAM = "model-"  # before the ref, so that no deployment is named like a program of the stack


@dataclass(frozen=True, slots=True)
class LocalTargetConfig:
    """`ports`: those that model servers may listen on, three each. `models_python`: the folder of the
    programs of the models' environment. `serving`: the package that runs beside a model.
    `fork_server`: where the process listens that model servers are forked from.
    `environment`: given to every model server, which sees nothing else of ours. `start_retries`: how
    often a start may fail before the deployment has."""

    supervisor_socket: Path | str
    var: Path
    ports: range
    models_python: Path
    serving: Path
    fork_server: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 1.0
    start_retries: int = 5


class LocalTarget:
    """Port `ServingTarget`."""

    def __init__(self, config: LocalTargetConfig) -> None:
        self._config = config
        self._supervisor = Supervisor(config.supervisor_socket)
        self._files = ServerFiles(
            config.var,
            config.models_python,
            config.serving,
            config.fork_server,
            config.environment,
            config.start_retries,
        )
        # No connection is kept: the client may be inherited over a fork.
        self._http = httpx.Client(
            timeout=config.ready_seconds,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def ensure(self, deployment: Deployment) -> None:
        """Absolute: goes on from whatever is there. What has given up is started anew, on other
        ports when its own were taken meanwhile."""
        ref, name = deployment.ref, PROGRAM + deployment.ref
        if not REF.fullmatch(ref) or ref == FORK_SERVER:
            raise Refused(f"{ref[:80]!r} cannot be the name of a deployment")
        if not deployment.artifact.is_dir():
            raise Refused(f"the artifact of {ref} is missing: there is no {deployment.artifact}")
        with self._locked():
            programs = self._supervisor.programs()
            self._files.write(self._files.fork_server_contents())  # what runs goes on until the next start
            if FORK_SERVER not in programs:
                self._supervisor.add(FORK_SERVER)
            program = programs.get(name)
            contents = self._files.contents(deployment, self._ports(ref, program), name)
            given_up = program and program["state"] not in ALIVE | {ProcessStates.BACKOFF}
            # Stopped before its files change: they always say what runs.
            if program and (given_up or not self._files.say(contents)):
                self._supervisor.discard(name, patience=STOP_SECONDS + 3)
                program = None
            self._files.write(contents)
            if not program:
                self._supervisor.add(name)

    def status(self, refs: Iterable[str]) -> dict[str, TargetStatus]:
        """One call to the supervisor for all; those that run are asked side by side."""
        wanted = list(refs)
        try:
            programs = self._supervisor.programs()
        except Unreachable as error:
            return {ref: TargetStatus(TargetState.UNKNOWN, str(error)) for ref in wanted}
        if not wanted:
            return {}
        with ThreadPoolExecutor(max_workers=min(len(wanted), 16)) as pool:
            found = pool.map(lambda ref: self._status(ref, programs.get(PROGRAM + ref)), wanted)
            return dict(zip(wanted, found, strict=True))

    def remove(self, ref: str) -> None:
        """Returns when its process has ended, or is just being killed."""
        if not REF.fullmatch(ref):
            raise Refused(f"{ref[:80]!r} cannot be the name of a deployment")
        with self._locked():
            self._files.forget_program(ref)
            self._supervisor.discard(PROGRAM + ref, patience=STOP_SECONDS + 3)
            self._files.delete(ref)

    def list(self) -> set[str]:
        """Also what exists only in part: as a file or as a program."""
        programs = self._supervisor.programs()
        running = {name.removeprefix(PROGRAM) for name in programs if name.startswith(PROGRAM)}
        return running | self._files.refs()

    def preview(self, deployment: Deployment) -> Preview:
        """What `ensure` would write for the model server, but for its ports, which are chosen then."""
        problems = []
        if not REF.fullmatch(deployment.ref):
            problems.append(Problem("ref", f"{deployment.ref[:80]!r} cannot be the name of a deployment"))
        if not deployment.artifact.is_dir():
            problems.append(Problem("parameters.uri", f"there is no {deployment.artifact}"))
        before = self._files.model_settings(deployment.ref)
        after = yaml.safe_dump(model_settings(deployment), sort_keys=False)
        return Preview(before, after, tuple(problems))

    def metrics_address(self, ref: str) -> str | None:
        """Where the model server shows its own metrics; None when there is no such deployment."""
        record = self._files.read(ref) if REF.fullmatch(ref) else None
        return f"{HOST}:{record.ports.metrics}" if record else None

    def _status(self, ref: str, program: Mapping[str, Any] | None) -> TargetStatus:
        record = self._files.read(ref)
        if program is None or record is None:
            return TargetStatus(TargetState.ABSENT, "not deployed")
        state, address, digest = program["state"], record.address, record.digest
        if state == ProcessStates.FATAL:
            why = self._files.last_words(ref) or program.get("spawnerr") or "no reason in its log"
            detail = f"the model server ended again and again: {why}"
            return TargetStatus(TargetState.FAILED, detail, address, digest)
        if state in ALIVE:
            return self._asked(record)
        why = self._files.last_words(ref) if state in WITHOUT_PROCESS else ""
        detail = f"the model server is {program['statename'].lower()}" + (f": {why}" if why else "")
        return TargetStatus(TargetState.STARTING, detail, address, digest)

    def _asked(self, record: ServerRecord) -> TargetStatus:
        """What the model server itself says."""
        address, digest = record.address, record.digest
        try:
            answer = self._http.get(f"http://{address}/v2/models/{record.model}/ready")
        except httpx.ReadTimeout:
            detail = f"no answer within {self._config.ready_seconds:g} s"
            return TargetStatus(TargetState.UNKNOWN, detail, address, digest)
        except httpx.HTTPError:
            return TargetStatus(TargetState.STARTING, "not listening yet", address, digest)
        if answer.status_code == 200:
            return TargetStatus(TargetState.READY, "ready", address, digest)
        detail = f"listening, but not ready yet (it answers {answer.status_code})"
        return TargetStatus(TargetState.STARTING, detail, address, digest)

    def _ports(self, ref: str, program: Mapping[str, Any] | None) -> PortTriple:
        """The ports it has, as long as nobody else took them; otherwise new ones."""
        record = self._files.read(ref)
        taken = self._files.taken_ports(apart_from=ref)
        if record:
            own = [record.ports.http, record.ports.grpc, record.ports.metrics]
            alive = program is not None and program["state"] not in WITHOUT_PROCESS
            if alive or all(port not in taken and _is_free(port) for port in own):
                return record.ports
        free = (port for port in self._config.ports if port not in taken and _is_free(port))
        try:
            return PortTriple(next(free), next(free), next(free))
        except StopIteration:
            first, last = self._config.ports.start, self._config.ports.stop - 1
            raise Refused(f"no three free ports are left from {first} to {last}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Between choosing ports and writing them down nobody else may choose."""
        try:
            self._files.models.mkdir(parents=True, exist_ok=True)
            with (self._files.models.parent / "models.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Unreachable(f"the model servers' files cannot be written: {error}") from error


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
