"""Looks at a model in a process of its own, inside the models environment, with hard limits.

The process gets a session of its own, an environment without any of the portal's own secrets, no input,
and a scratch directory that is deleted afterwards; its whole group is killed when it is done or over
a limit. Where model servers are forked, so is this process (`serving.forked`), and another one stands for it.
Knows the command it runs and its report, and nothing of MLflow.
"""

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any

from releases.ports import ModelReport

POLL_SECONDS = 0.1
# Our own start-up (the interpreter, MLflow, MLServer) is not held against the model: 4 s on an idle
# machine, a minute on a busy one.
START_SECONDS = 120.0
END_SECONDS = 5.0  # in which killed processes are gone
REPORT = "report.json"
LARGEST_REPORT = 20_000_000
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STAGES = {
    "loading": "the model did not load",
    "predicting": "the model did not answer its input example",
}
_KINDS: Mapping[str, type] = {
    "stage": str,
    "failure": str,
    "out_of_memory": bool,
    "peak_memory_mb": float,
    "example": dict,
    "outputs": list,
    "flavors": list,
}


@dataclass(frozen=True, slots=True)
class SubprocessProbeConfig:
    """`python` is the interpreter of the models environment, `root` the folder with `serving`;
    `environment` is what a model finds where it is served, too."""

    python: Path
    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    """What was seen of a running process."""

    started: float
    sessions: set[int]
    model_started: float | None = None
    overrun: str | None = None
    peak_bytes: int = 0
    code: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def is_late(self, seconds: float) -> bool:
        if self.model_started is None:
            return self.seconds > START_SECONDS
        return time.monotonic() - self.model_started > seconds


class SubprocessProbe:
    """A `ModelProbe` that starts one process per model."""

    def __init__(self, config: SubprocessProbeConfig) -> None:
        self._config = config

    def inspect(self, artifact: Path, seconds: float, memory_mb: int) -> ModelReport:
        """Load and predict once, in `seconds` together; never raises for what the model does."""
        with tempfile.TemporaryDirectory(prefix="inspect-", ignore_cleanup_errors=True) as scratch_name:
            scratch = Path(scratch_name)
            report_path = scratch / REPORT
            command = [
                "serving.inspect_model",
                *(str(artifact.resolve()), str(report_path)),
                *("--memory-mb", str(memory_mb)),
                *("--cpu-seconds", str(math.ceil(seconds * (os.cpu_count() or 1) + START_SECONDS))),
            ]
            run = self._run(command, scratch, seconds, memory_mb)
            run.report = _read_report(report_path)
            failure = _failure(run, seconds, memory_mb, scratch / "output")
            took = run.seconds
        return ModelReport(
            failure=failure,
            seconds=round(took, 3),
            peak_memory_mb=round(max(run.peak_bytes / 2**20, run.report.get("peak_memory_mb", 0.0)), 1),
            example=run.report.get("example"),
            outputs=tuple(run.report.get("outputs", ())),
            flavors=tuple(run.report.get("flavors", ())),
        )

    def _run(self, command: list[str], scratch: Path, seconds: float, memory_mb: int) -> _Run:
        """Start the process, and watch it."""
        told, tells = os.pipe()  # the process id of the fork, if it is one
        os.set_blocking(told, False)
        with os.fdopen(told, "rb", buffering=0) as fork:
            try:
                process = self._start(command, scratch, tells)
            finally:
                os.close(tells)
            return self._watch(process, fork, scratch, seconds, memory_mb)

    def _start(self, command: list[str], scratch: Path, tells: int) -> "subprocess.Popen[bytes]":
        forked = [str(self._config.python), "-m", "serving.forked", "--watched", str(tells)]
        with (scratch / "output").open("wb") as output:
            return subprocess.Popen(
                [*forked, *command],
                pass_fds=[tells],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=self._environment(scratch),
                start_new_session=True,
            )

    def _watch(
        self,
        process: "subprocess.Popen[bytes]",
        fork: RawIOBase,
        scratch: Path,
        seconds: float,
        memory_mb: int,
    ) -> _Run:
        """Until it ends by itself, or has to be ended."""
        run = _Run(time.monotonic(), {process.pid})
        try:
            while not _has_ended(process.pid):
                run.sessions |= _session(fork)
                run.peak_bytes = max(run.peak_bytes, _resident_bytes(run.sessions))
                if run.peak_bytes > memory_mb * 2**20:
                    run.overrun = "memory"
                    break
                if run.model_started is None and _stage(scratch / REPORT) != "starting":
                    run.model_started = time.monotonic()
                if run.is_late(seconds):
                    run.overrun = "time"
                    break
                time.sleep(POLL_SECONDS)
        finally:
            # Not reaped yet, so the number of its session cannot have gone to someone else.
            run.sessions |= _session(fork)
            _end(run.sessions)
            run.code = process.wait()
        return run

    def _environment(self, scratch: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        return {
            **kept,
            **self._config.environment,
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "PYTHONPATH": str(self._config.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",  # nobody answers there
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLSERVER_MODEL_NAME": "inspected",
        }


def _failure(run: _Run, seconds: float, memory_mb: int, output: Path) -> str | None:
    """Why the model is not fit, in a sentence; None when it is."""
    if run.overrun == "memory" or run.report.get("out_of_memory"):
        return f"the model needed more than {memory_mb} MB"
    stage = run.report.get("stage", "starting")
    if run.overrun == "time" and run.model_started is None:
        return f"the process that loads the model did not start within {START_SECONDS:g} s"
    if run.overrun == "time":
        return f"{_STAGES.get(stage, 'the model did not answer')} within {seconds:g} s"
    if failure := run.report.get("failure"):
        return str(failure)[:1000]
    if stage == "done":
        return None
    if run.code < 0:
        name = signal.Signals(-run.code).name
        return f"the model crashed its process while {stage} ({name})"
    return f"the process ended with code {run.code} while {stage}: {_last_line(output)}"


def _read_report(path: Path) -> Mapping[str, Any]:
    """What the process wrote, as far as it is of the right kind; it may be hostile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            report = json.loads(file.read(LARGEST_REPORT))
    except (OSError, ValueError):
        return {}
    if not isinstance(report, dict):
        return {}
    return {key: report[key] for key, kind in _KINDS.items() if isinstance(report.get(key), kind)}


def _stage(report: Path) -> str:
    return str(_read_report(report).get("stage", "starting"))


def _last_line(output: Path) -> str:
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _session(fork: RawIOBase) -> set[int]:
    """That of the fork, once whoever stands for it has told; the model itself cannot write there."""
    number = fork.read(16)
    return {int(number)} if number else set()


def _end(sessions: Set[int]) -> None:
    """Kill all processes of these sessions."""
    deadline = time.monotonic() + END_SECONDS
    while (
        alive := [pid for pid, state in _members(sessions) if state != "Z"]
    ) and time.monotonic() < deadline:
        for pid in alive:
            with suppress(OSError):  # it has just ended, or is not ours to end
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _members(sessions: Set[int]) -> Iterator[tuple[int, str]]:
    """Process ids and states, from /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            state, session = fields[0], int(fields[3])  # fields 3 and 6 of proc(5); the name is field 2
        except (OSError, ValueError, IndexError):
            continue  # it ended meanwhile
        if session in sessions:
            yield int(entry.name), state


def _resident_bytes(sessions: Set[int]) -> int:
    """Memory of all processes of these sessions; 0 where there is none."""
    total = 0
    for pid, _ in _members(sessions):
        with suppress(OSError, ValueError, IndexError):  # it ended meanwhile
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return total
