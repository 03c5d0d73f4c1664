"""A supervisord of its own and a really trained model, for the suite of the local target."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_portal.stack.control import Supervisor
from mlops_portal.stack.layout import ENVIRONMENT_BIN, PROJECT, Layout, layout_of
from mlops_portal.stack.programs import supervisor_configuration

MODELS_PYTHON = Path(os.environ.get("MODELS_PYTHON", PROJECT / ".venv-models" / "bin"))
SERVING = PROJECT / "serving"
TRAIN = """
import sys
import mlflow.sklearn
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
rows, labels = load_wine(return_X_y=True, as_frame=True)
rows = rows[["alcohol", "hue"]]
model = LogisticRegression(max_iter=500).fit(rows, labels)
mlflow.sklearn.save_model(model, sys.argv[1], pip_requirements=["scikit-learn"])
"""
SECRET = "the-secret-of-the-portal"


def train(artifact: Path) -> None:
    """Log a small classifier of wines as a pipeline would, in the models' environment."""
    python = str(MODELS_PYTHON / "python")
    environment = {"PATH": os.defpath, "HOME": str(artifact.parent)}
    subprocess.run(
        [python, "-c", TRAIN, str(artifact)],
        check=True,
        capture_output=True,
        timeout=100,
        env=environment,
        cwd=artifact.parent,
    )


@dataclass
class Daemon:
    """A supervisord with no programs but those that the target adds."""

    layout: Layout
    process: subprocess.Popen[bytes] | None = None

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.layout.supervisor_socket)

    @property
    def fork_server(self) -> int:
        """Its process id."""
        return int(self.supervisor.program("fork-server:fork-server")["pid"])

    @property
    def forked(self) -> list[int]:
        """The model servers, behind the processes that stand for them."""
        parent = self.fork_server
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def start(self) -> None:
        path = self.layout.supervisor_configuration
        path.write_text(supervisor_configuration(self.layout, []))
        with (self.layout.log / "supervisord.out").open("ab") as log:
            self.process = subprocess.Popen(
                [str(ENVIRONMENT_BIN / "supervisord"), "-c", str(path)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PORTAL_SECRET_KEY": SECRET},
            )
        deadline = time.monotonic() + 15
        while not self.supervisor.answers():
            assert time.monotonic() < deadline, (self.layout.log / "supervisord.out").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """It ends its programs, then itself."""
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


@contextmanager
def running_daemon(var: Path) -> Iterator[Daemon]:
    """A supervisord whose files are in `var`."""
    layout = layout_of(var)
    layout.prepare()
    daemon = Daemon(layout)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()
