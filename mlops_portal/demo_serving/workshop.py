"""The models' environment as the story uses it: trainings and compositions as child processes.

Knows command lines and that they print JSON lines; must not know what the story wants with them.
"""

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_portal.demo.errors import StoryFailed
from mlops_portal.stack.layout import PROJECT, Layout

PATIENCE = 180.0


@dataclass(frozen=True)
class Workshop:
    """Runs modules in the models' environment with the addresses of the stack; they are forked where they can
    be, which spares them seconds of imports."""

    layout: Layout
    environment: Mapping[str, str]
    children: "Children"

    def run(self, name: str, *arguments: str, **others: str) -> list[dict[str, Any]]:
        """`python -m ARGUMENTS` with `others` in its environment; the JSON lines that it printed.

        Raises StoryFailed with the end of what it said."""
        return [json.loads(line) for line in self._printed(name, arguments, others).splitlines()]

    def inspect(self, artifact: Path, **others: str) -> str:
        """What the portal's validation would say against a model on this disk; empty if nothing."""
        report = self.layout.var / "demo-inspection.json"
        limits = ("--memory-mb", "4096", "--cpu-seconds", "120")
        asked = ("serving.inspect_model", str(artifact), str(report), *limits)
        self._printed("inspection", asked, others)
        return str(json.loads(report.read_text())["failure"] or "")

    def _printed(self, name: str, arguments: tuple[str, ...], others: Mapping[str, str]) -> str:
        log = self.layout.log_of(f"demo-{name}")
        command = [
            str(Path(self.environment["MODELS_PYTHON"]) / "python"),
            "-m",
            "serving.forked",
            *arguments,
        ]
        with log.open("w") as said:
            printed, code = self.children.run(command, {**os.environ, **self.environment, **others}, said)
        if code:
            raise StoryFailed(f"{name} ended with exit code {code}: {last_line(log)}; see {log}")
        return printed


class Children:
    """The processes that are running; `stop` ends them."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._is_over = False

    def run(self, command: list[str], environment: Mapping[str, str], said: Any) -> tuple[str, int]:
        """What it printed and its exit code."""
        with self._lock:
            if self._is_over:
                raise StoryFailed("the story is over")
            child = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
            self._running.add(child)
        try:
            printed, _ = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            printed, _ = child.communicate()
        finally:
            with self._lock:
                self._running.discard(child)
        return printed, child.returncode

    def stop(self) -> None:
        """End what runs, and start nothing more; safe to repeat."""
        with self._lock:
            self._is_over = True
            for child in self._running:
                child.terminate()


def last_line(log: Path) -> str:
    """The last words of a program; empty when it said nothing."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""
