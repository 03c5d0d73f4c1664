"""Where the stack keeps its files. Knows paths only, not what is in them."""

import hashlib
import importlib.util
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlops_portal.stack.errors import StackError

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT_BIN = Path(sys.executable).parent
# The kernel's limit for the path of a Unix socket is 107 bytes. The longest name below the folder of
# the sockets is the one that supervisord binds first: "run/supervisor.sock." and a process id.
LONGEST_SOCKET_FOLDER = 107 - len("/run/supervisor.sock.4194304")


@dataclass(frozen=True)
class Layout:
    """Every path of one stack; `var` is absolute."""

    var: Path
    sockets: Path

    @property
    def run(self) -> Path:
        """Sockets and process records of everything but PostgreSQL; private."""
        return self.sockets / "run"

    @property
    def postgres_sockets(self) -> Path:
        """Apart from `run`, because PostgreSQL belongs to another account when root starts it."""
        return self.sockets / "pg"

    @property
    def log(self) -> Path:
        return self.var / "log"

    @property
    def postgres(self) -> Path:
        return self.var / "postgres"

    @property
    def redis(self) -> Path:
        return self.var / "redis"

    @property
    def model_redis(self) -> Path:
        return self.var / "model-redis"

    @property
    def feature_store(self) -> Path:
        """The Feast repository that models look features up in; whoever applies it fills it."""
        return self.var / "feature-store"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.var / "mlflow" / "artifacts"

    @property
    def envoy(self) -> Path:
        return self.var / "envoy"

    @property
    def xds(self) -> Path:
        """The folder that Envoy watches: lds.json, cds.json, rds.json."""
        return self.envoy / "xds"

    @property
    def celery(self) -> Path:
        return self.var / "celery"

    @property
    def supervisor(self) -> Path:
        return self.var / "supervisor"

    @property
    def model_programs(self) -> Path:
        """One file per model server, written at run time by the local serving target."""
        return self.supervisor / "models.d"

    @property
    def supervisor_configuration(self) -> Path:
        return self.supervisor / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def fork_server(self) -> Path:
        return self.run / "fork-server.sock"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis.sock"

    @property
    def envoy_admin(self) -> Path:
        return self.run / "envoy-admin.sock"

    @property
    def lock(self) -> Path:
        return self.var / "stack.lock"

    @property
    def environment_file(self) -> Path:
        return self.var / "stack.env"

    @property
    def ports_file(self) -> Path:
        return self.var / "ports.json"

    @property
    def secrets(self) -> Path:
        return self.var / "secrets"

    @property
    def model_secrets(self) -> Path:
        """Those that models get; apart, because models must not come near the others."""
        return self.var / "model-secrets"

    def log_of(self, program: str) -> Path:
        return self.log / f"{program}.log"

    def prepare(self) -> None:
        """Make the folders; safe to repeat."""
        # Root's PostgreSQL runs under another account and must be able to pass through.
        passable = 0o711 if os.geteuid() == 0 else 0o700
        make_folder(self.var, passable)
        if self.sockets != self.var:
            make_folder(self.sockets, passable)
            refuse_foreign(self.sockets)
        for folder in (
            self.run,
            self.log,
            self.redis,
            self.model_redis,
            self.feature_store,
            self.mlflow_artifacts.parent,
            self.mlflow_artifacts,
            self.envoy,
            self.xds,
            self.celery,
            self.var / "static",
            self.supervisor,
            self.model_programs,
        ):
            make_folder(folder, 0o700)


def layout_of(var: Path) -> Layout:
    """The layout of the stack whose state is in `var`."""
    absolute = var.resolve()
    if "%" in str(absolute):
        raise StackError(f"supervisord cannot work in {absolute}: a path must not contain a per cent sign")
    if len(os.fsencode(absolute)) <= LONGEST_SOCKET_FOLDER:
        return Layout(absolute, absolute)
    digest = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:12]
    return Layout(absolute, Path(tempfile.gettempdir()).resolve() / f"mlops-portal-{digest}")


def package_folder(name: str) -> Path:
    """Where a package is installed, without importing it: some do a lot at their import."""
    specification = importlib.util.find_spec(name)
    if specification is None or specification.origin is None:
        raise StackError(f"the package {name} is not installed; run `make run` or install requirements.txt")
    return Path(specification.origin).parent


def make_folder(folder: Path, mode: int) -> None:
    """Create `folder` with exactly these permissions; an existing one keeps its own."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def refuse_foreign(folder: Path) -> None:
    """The folder for temporary files is everybody's: trust there only what is ours."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise StackError(
            f"{folder} belongs to somebody else; remove it, or set PORTAL_VAR to a shorter path."
        )
