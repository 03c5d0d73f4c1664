"""The files of one model server on disk: MLServer's settings and the supervisor's program.

Knows formats and folders, and starts nothing.
"""

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from releases.adapters.target.last_words import telling_line
from releases.ports import Deployment

HOST = "127.0.0.1"
RUNTIME = "serving.runtime.CountingRuntime"
STOP_SECONDS = 5
FORK_SERVER = "fork-server"  # the program from which model servers are forked
MARK = "PORTAL_STACK"  # the variable by which a stack finds its processes
# A start is what fails before this time. It has to be longer than any model takes to load: only
# failures of starts are spaced out and end in FATAL, what ends later is started again at once.
START_SECONDS = 60
ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class PortTriple:
    """Where one MLServer listens: V2 over HTTP, V2 over gRPC, Prometheus."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What the files say of a deployment."""

    ports: PortTriple
    model: str
    digest: str | None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.ports.http}"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """The files of all model servers under one `var`; `environment` is given to every one of them.
    `serving` is the package that runs beside a model, `fork_server` where the fork server listens."""

    var: Path
    models_python: Path
    serving: Path
    fork_server: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    start_retries: int = 5

    @property
    def models(self) -> Path:
        return self.var / "models"

    @property
    def beside(self) -> Path:
        """A folder from which a model server can import `serving`, and nothing else of the project."""
        return self.var / "beside-models"

    def program(self, ref: str) -> Path:
        """The supervisor's file."""
        return self.var / "supervisor" / "models.d" / f"{ref}.conf"

    def log(self, ref: str) -> Path:
        return self.var / "log" / f"model-{ref}.log"

    def refs(self) -> set[str]:
        """The deployments of which there is any file."""
        folders = {entry.name for entry in _entries(self.models) if entry.is_dir()}
        programs = {entry.stem for entry in _entries(self.program("x").parent) if entry.suffix == ".conf"}
        return folders | programs - {FORK_SERVER}

    def read(self, ref: str) -> ServerRecord | None:
        """None when files are missing or damaged, so that they are written again."""
        folder = self.models / ref
        try:
            server = json.loads((folder / "settings.json").read_text())
            model = json.loads((folder / "model-settings.json").read_text())
            ports = PortTriple(server["http_port"], server["grpc_port"], server["metrics_port"])
            digest = model["parameters"].get("extra", {}).get("digest")
            return ServerRecord(ports, model["name"], digest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def model_settings(self, ref: str) -> str:
        """What MLServer has been told of the model, as YAML; empty when there is nothing."""
        try:
            return yaml.safe_dump(
                json.loads((self.models / ref / "model-settings.json").read_text()), sort_keys=False
            )
        except (OSError, ValueError):
            return ""

    def taken_ports(self, apart_from: str) -> set[int]:
        """The ports of all other deployments, running or not."""
        taken: set[int] = set()
        for ref in self.refs() - {apart_from}:
            record = self.read(ref)
            if record:
                taken |= {record.ports.http, record.ports.grpc, record.ports.metrics}
        return taken

    def contents(self, deployment: Deployment, ports: PortTriple, program: str) -> dict[Path, str]:
        """What the files of the deployment have to say."""
        folder = self.models / deployment.ref
        return {
            folder / "settings.json": _json(_server_settings(ports)),
            folder / "model-settings.json": _json(model_settings(deployment)),
            folder / "environment": _exports(
                self._environment(folder) | {"FORK_SERVER": str(self.fork_server), **self.environment}
            ),
            # Last: a program that supervisord may start needs the others.
            self.program(deployment.ref): self._program(deployment.ref, program),
        }

    def fork_server_contents(self) -> dict[Path, str]:
        """What the files of the fork server have to say. Its environment is that of a model server without
        what models are told: every fork could read it."""
        folder = self.var / FORK_SERVER
        log = self.var / "log" / f"{FORK_SERVER}.log"
        command = self._command(folder, "serving.fork_server", str(self.fork_server))
        settings = {
            "autorestart": "unexpected",
            # Said when nothing can be forked safely: another start would change nothing.
            "exitcodes": str(os.EX_CONFIG),
            "startsecs": "0",
            "stopwaitsecs": str(STOP_SECONDS + 2),
        }
        mark = {name: value for name, value in self.environment.items() if name == MARK}
        return {
            folder / "environment": _exports(self._environment(folder) | mark),
            self.program(FORK_SERVER): _section(FORK_SERVER, command, folder, log, settings),
        }

    def write(self, contents: Mapping[Path, str]) -> None:
        """Bring the files about, each all or nothing."""
        self.log("x").parent.mkdir(parents=True, exist_ok=True)
        _link(self.beside / "serving", self.serving)
        for path, text in contents.items():
            if not _says(path, text):
                path.parent.mkdir(parents=True, exist_ok=True)
                _replace(path, text)

    def say(self, contents: Mapping[Path, str]) -> bool:
        """Whether all files are there and say just that."""
        return all(_says(path, text) for path, text in contents.items())

    def delete(self, ref: str) -> None:
        """The log stays: it tells why a version that is gone was no good."""
        self.forget_program(ref)
        shutil.rmtree(self.models / ref, ignore_errors=True)

    def forget_program(self, ref: str) -> None:
        """So that a supervisor that restarts does not start it again."""
        self.program(ref).unlink(missing_ok=True)

    def last_words(self, ref: str) -> str:
        """The last line of the log that says why, without secrets; empty when there is none."""
        try:
            with self.log(ref).open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 32_768))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return telling_line(lines)

    def _environment(self, folder: Path) -> dict[str, str]:
        """What every process finds in its environment. One thread each, because many models share the
        machine."""
        return {
            "PATH": os.pathsep.join([str(self.models_python), os.defpath]),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.beside),
            "PYTHONUNBUFFERED": "1",
            "MALLOC_ARENA_MAX": "2",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **dict.fromkeys(ONE_THREAD, "1"),
        }

    def _program(self, ref: str, program: str) -> str:
        folder = self.models / ref
        wait = ("--patience", "1")  # both may have just been started
        command = self._command(folder, "serving.forked", *wait, "serving.model_server", str(folder))
        settings = {
            "startsecs": str(START_SECONDS),
            "startretries": str(self.start_retries),
            "stopwaitsecs": str(STOP_SECONDS),
        }
        return _section(program, command, folder, self.log(ref), settings)

    def _command(self, folder: Path, *module: str) -> list[str]:
        """A module of `serving` in the models' environment, with the variables of the folder.

        From an empty environment: a model is foreign code, and the supervisor's own environment holds the
        portal's secrets. What it gets is read from a file, because `ps` shows arguments."""
        start = '. "$1/environment" && shift && exec "$@"'
        python = str(self.models_python / "python")
        return ["/usr/bin/env", "-i", "/bin/sh", "-c", start, "model", str(folder), python, "-m", *module]


def _section(program: str, command: list[str], folder: Path, log: Path, settings: Mapping[str, str]) -> str:
    """The supervisor's configuration of one program."""
    settings = {
        "command": shlex.join(command),
        "directory": str(folder),
        "autostart": "true",
        "autorestart": "true",
        **settings,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log),
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "1",
    }
    # supervisord expands %(name)s
    lines = [f"{key}={value.replace('%', '%%')}" for key, value in settings.items()]
    return "\n".join([f"[program:{program}]", *lines, ""])


def _server_settings(ports: PortTriple) -> dict[str, Any]:
    return {
        "debug": False,
        "host": HOST,
        "http_port": ports.http,
        "grpc_port": ports.grpc,
        "metrics_port": ports.metrics,
        "metrics_endpoint": "/metrics",
        "parallel_workers": 0,  # in this very process: half the memory
    }


def model_settings(deployment: Deployment) -> dict[str, Any]:
    """What MLServer has to know of the model."""
    return {
        "name": deployment.model,
        "implementation": RUNTIME,
        "parameters": {
            "uri": str(deployment.artifact.resolve()),
            "version": deployment.version,
            "extra": {"digest": deployment.digest},
        },
    }


def _exports(environment: Mapping[str, str]) -> str:
    """For a shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _replace(path: Path, text: str) -> None:
    """All or nothing, and for nobody else to read: a model's environment may hold keys."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    os.replace(beside, path)


def _link(link: Path, to: Path) -> None:
    """Make `link` lead there, all or nothing."""
    if not link.is_symlink() or link.readlink() != to:
        link.parent.mkdir(parents=True, exist_ok=True)
        beside = link.with_name(link.name + ".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(to)
        os.replace(beside, link)
