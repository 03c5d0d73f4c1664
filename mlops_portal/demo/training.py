"""Trains and logs the demo's models in their own environment while the stack is still starting.

Knows the pipeline's command line only; each model can be had as soon as it is logged.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlops_portal.demo.errors import StoryFailed
from mlops_portal.stack.layout import PROJECT

PATIENCE = 180.0


class Training:
    """The pipeline as a child process; it waits for MLflow itself, so that its start-up costs nothing.

    `rows` is where the traffic's requests are written; `models` False writes nothing but those.
    """

    def __init__(self, environment: dict[str, str], log: Path, rows: Path, models: bool = True) -> None:
        self._environment = environment
        self._log = log
        self.rows = rows
        self._models = models
        self._runs: dict[str, str] = {}
        self._changed = threading.Condition()
        self._failure = ""
        self._is_over = False
        self._child: subprocess.Popen[str] | None = None
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    def run_of(self, kind: str) -> str:
        """The run in which a kind of model was logged; waits for it."""
        self._await(lambda: kind in self._runs, f"the model {kind!r} was not trained")
        return self._runs[kind]

    def await_rows(self) -> Path:
        """The file with the traffic's requests; waits for it."""
        self._await(self.rows.exists, "the traffic's requests were not written")
        return self.rows

    def stop(self) -> None:
        """End the child if it still runs; safe to repeat."""
        self._is_over = True
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait(timeout=20)
        self._thread.join(timeout=20)

    def _await(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                if self._failure or self._is_over or time.monotonic() > deadline:
                    raise StoryFailed(f"{otherwise}: {self._failure or 'it took too long'}; see {self._log}")
                self._changed.wait(0.2)

    def _work(self) -> None:
        try:
            self._train()
        except (OSError, ValueError) as error:
            self._failure = str(error)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _train(self) -> None:
        began = time.monotonic()
        python = Path(self._environment["MODELS_PYTHON"]) / "python"
        command = [str(python), "-m", "pipelines.wine", "--rows", str(self.rows)]
        command += ["--all", "--patience", f"{PATIENCE:.0f}"] if self._models else []
        with self._log.open("w") as log:
            self._child = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._child.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in self._child.stdout:
            logged = json.loads(line)
            with self._changed:
                self._runs[logged["kind"]] = logged["run_id"]
                self._changed.notify_all()
        if self._child.wait() and not self._is_over:
            self._failure = f"the pipeline ended with exit code {self._child.returncode}"
        self.seconds = time.monotonic() - began
