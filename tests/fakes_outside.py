"""Models as they are looked at from outside, and who is told, in memory. See `tests.fakes`."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from releases.ports import (
    AdapterError,
    Answer,
    CommitStatus,
    Composed,
    Message,
    ModelReport,
    Unreachable,
)
from tests.fakes_registry import FakeRegistry

EXAMPLE: Mapping[str, Any] = {
    "parameters": {"content_type": "pd"},
    "inputs": [{"name": "alcohol", "datatype": "FP64", "shape": [1, 1], "data": [12.5]}],
}
OUTPUTS: tuple[Mapping[str, Any], ...] = (
    {"name": "output-1", "datatype": "INT64", "shape": [1, 1], "data": [1]},
)


@dataclass
class FakeProbe:
    """Gives `report` for every model, or that of `by_content`, keyed by the SHA-256 of MLmodel."""

    report: ModelReport = field(
        default_factory=lambda: ModelReport(None, 0.8, 210.0, EXAMPLE, OUTPUTS, ("sklearn",))
    )
    by_content: dict[str, ModelReport] = field(default_factory=dict)
    limits: list[tuple[float, int]] = field(default_factory=list)  # of every call, in order

    def inspect(self, artifact: Path, seconds: float, memory_mb: int) -> ModelReport:
        self.limits.append((seconds, memory_mb))
        described = artifact / "MLmodel"
        if not described.exists():
            return ModelReport("the artifact has no file MLmodel", 0.0, 0.0)
        return self.by_content.get(hashlib.sha256(described.read_bytes()).hexdigest(), self.report)


@dataclass
class FakeComposer:
    """Logs a composed model to the registry under a new run, or does what `trouble` says."""

    registry: FakeRegistry
    specs: list[Mapping[str, Any]] = field(default_factory=list)
    trouble: Exception | None = None

    def compose(self, spec: Mapping[str, Any], seconds: float) -> Composed:
        self.specs.append(spec)
        if self.trouble is not None:
            raise self.trouble
        run_id = f"composed-{len(self.specs)}"
        self.registry.log(run_id)
        return Composed(run_id, "model")


@dataclass(frozen=True)
class Call:
    """One inference request as the gateway got it."""

    url: str
    request: Mapping[str, Any]
    headers: Mapping[str, str]
    timeout: float


@dataclass
class FakeGateway:
    """Answers every call with `answer`, or with what `respond` makes of the call."""

    reachable: bool = True
    answer: Answer = field(
        default_factory=lambda: Answer(200, {"model_name": "wine", "outputs": list(OUTPUTS)}, 0.004)
    )
    respond: Callable[[Call], Answer] | None = None
    calls: list[Call] = field(default_factory=list)

    def infer(
        self, url: str, request: Mapping[str, Any], headers: Mapping[str, str], timeout: float
    ) -> Answer:
        call = Call(url, request, headers, timeout)
        self.calls.append(call)
        if not self.reachable:
            raise Unreachable(f"no answer from {url}")
        return self.respond(call) if self.respond else self.answer


@dataclass
class FakeNotifier:
    """Keeps what was sent; `failures` are raised first, one per call."""

    reachable: bool = True
    failures: list[AdapterError] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if not self.reachable:
            raise Unreachable(f"no answer from {message.url}")
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)


@dataclass
class FakeStatuses:
    """Keeps the statuses that were set; `failures` are raised first, one per call."""

    failures: list[AdapterError] = field(default_factory=list)
    kept: list[CommitStatus] = field(default_factory=list)

    def set(self, status: CommitStatus) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.kept.append(status)
