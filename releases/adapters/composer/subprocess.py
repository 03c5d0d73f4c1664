"""Composes a model by `python -m serving compose` in the models environment, in a process of its own.

Members are foreign code and are loaded there: the process gets a session of its own, a scratch directory
that is deleted afterwards, and an environment with nothing of the portal's but what models find where they
are served, and the address of the registry that it logs to. Its whole group is killed when it is done or too
late.
Knows the command and what it prints, and nothing of MLflow.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from releases.ports import Composed, Refused, Unreachable

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
POLL_SECONDS = 0.1
SPEC = "spec.yaml"
BAD_SPEC, NO_REGISTRY = 2, 3
LONGEST_WORDS = 1_000


@dataclass(frozen=True, slots=True)
class SubprocessComposerConfig:
    """`python` is the interpreter of the models environment, `root` the folder with `serving`, `registry` the
    address of MLflow; `environment` is what a model finds where it is served."""

    python: Path
    root: Path
    registry: str
    environment: Mapping[str, str] = field(default_factory=dict)


class SubprocessComposer:
    """Port `ModelComposer`."""

    def __init__(self, config: SubprocessComposerConfig) -> None:
        self._config = config

    def compose(self, spec: Mapping[str, Any], seconds: float) -> Composed:
        with tempfile.TemporaryDirectory(prefix="compose-", ignore_cleanup_errors=True) as name:
            scratch = Path(name)
            (scratch / SPEC).write_text(json.dumps(spec, indent=1))  # JSON is YAML
            code, said = self._run(scratch, seconds)
            words = _words((scratch / "words").read_text(errors="replace"), scratch)
        if code is None:
            raise Refused(f"it was not composed within {seconds:g} s")
        if code == NO_REGISTRY:
            raise Unreachable(words)
        if code == BAD_SPEC:
            raise Refused(words)
        if code < 0:
            raise Refused(f"composing ended by {signal.Signals(-code).name}: {words}")
        if code > 0:
            raise Refused(f"composing failed: {words}")
        return _composed(said)

    def _run(self, scratch: Path, seconds: float) -> tuple[int | None, str]:
        """The exit code, None when it was too late, and what it printed."""
        with (scratch / "said").open("wb") as said, (scratch / "words").open("wb") as words:
            process = subprocess.Popen(
                [str(self._config.python), "-m", "serving", "compose", SPEC, "--log-only"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=words,
                cwd=scratch,
                env=self._environment(scratch),
                start_new_session=True,
            )
            late = time.monotonic() + seconds
            try:
                while not _has_ended(process.pid) and time.monotonic() < late:
                    time.sleep(POLL_SECONDS)
                in_time = _has_ended(process.pid)
            finally:
                # Not reaped yet, so the group's number cannot have gone to someone else.
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
        return code if in_time else None, (scratch / "said").read_text(errors="replace")

    def _environment(self, scratch: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return {
            **kept,
            **self._config.environment,
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "PYTHONPATH": str(self._config.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MLFLOW_TRACKING_URI": self._config.registry,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _composed(said: str) -> Composed:
    try:
        done = json.loads(said.strip().splitlines()[-1])
        return Composed(str(done["run_id"])[:64], str(done["artifact_path"])[:200])
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"the composer did not say what it has composed: {said[-200:]!r}") from error


def _words(text: str, scratch: Path) -> str:
    """The last lines that it wrote, without the folder that nobody knows, and without log lines before."""
    lines = [line.strip() for line in text.replace(f"{scratch}/", "").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(SPEC)] or lines[-1:]
    return "; ".join(told)[:LONGEST_WORDS].replace("\x00", "") or "it said nothing"
