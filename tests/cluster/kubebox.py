"""A whole Kubernetes control plane in one process, started and ended by the tests.

`make var/cluster/kubebox` builds it from `kubebox/` (Go). It listens on loopback only, needs no root, and
its state is thrown away. With SIGSTOP it is an API server that does not answer.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "var/cluster/kubebox"
PATIENCE = 60.0
# An autoscaler that acts within a test, and nodes that survive a minute in which nothing runs.
CONTROLLERS = "--horizontal-pod-autoscaler-sync-period=2s --node-monitor-grace-period=300s"
GARBAGE = {"GOGC": "400"}  # memory is there; to collect it less often saves a tenth of its time


class KubeBox:
    """One control plane; `folder` must not exist yet."""

    def __init__(self, folder: Path) -> None:
        if not BINARY.exists():
            raise RuntimeError(f"{BINARY.relative_to(ROOT)} is missing: `make test-cluster` builds it")
        self.folder = folder
        self.log = folder.with_suffix(".log")
        arguments = [str(BINARY), "-dir", str(folder), "-user", "portal", "-kcm", CONTROLLERS]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                arguments, stdout=log, stderr=log, start_new_session=True, env=os.environ | GARBAGE
            )

    @property
    def admin(self) -> Path:
        """The kubeconfig of who may do everything."""
        return self.folder / "admin.kubeconfig"

    @property
    def portal(self) -> Path:
        """The kubeconfig of a user who may do nothing until somebody grants it."""
        return self.folder / "portal.kubeconfig"

    def await_ready(self) -> None:
        """Returns once the controllers are at work."""
        deadline = time.monotonic() + PATIENCE
        while not (self.folder / "ready").exists():
            if self._process.poll() is not None:
                raise RuntimeError(f"kubebox ended:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"kubebox is not ready after {PATIENCE:.0f} s:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def pause(self) -> None:
        """Nothing answers from now on; connections stay open, as when a machine hangs."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, also while it is paused."""
        if self._process.poll() is not None:
            return
        self.go_on()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
