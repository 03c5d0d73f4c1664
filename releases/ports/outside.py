"""What is told to others, and models as they are looked at from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


# ---- notifier ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Message:
    """One event for one address, signed by the sender with `secret`."""

    url: str
    delivery: str
    body: bytes
    secret: str


class Notifier(Protocol):
    """Tells the outside world."""

    def send(self, message: Message) -> None:
        """Deliver; raises `Unreachable` (try again) or `Refused` (never)."""


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """How far a release of a commit is: `state` is pending, success, failure or error; `context` names the
    release's place, `target_url` its page; `description` has at most 140 characters."""

    repository: str
    sha: str
    state: str
    context: str
    description: str
    target_url: str


class CommitStatuses(Protocol):
    """Tells a code host."""

    def set(self, status: CommitStatus) -> None:
        """Set the status of this context; raises `Unreachable` (try again) or `Refused` (never)."""


# ---- models, looked at from outside ----------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ModelReport:
    """What a model did in a process of its own: loaded, predicted its input example.

    `failure` is a sentence when it did not. `example` is the V2 inference request made of the input
    example, `outputs` describes the answer: a list of {"name", "datatype", "shape"}.
    """

    failure: str | None
    seconds: float
    peak_memory_mb: float
    example: Mapping[str, Any] | None = None
    outputs: tuple[Mapping[str, Any], ...] = ()
    flavors: tuple[str, ...] = ()


class ModelProbe(Protocol):
    """Loads a model where it can do no harm."""

    def inspect(self, artifact: Path, seconds: float, memory_mb: int) -> ModelReport:
        """Load the model in a process with these limits and predict its input example once."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A composed model as it was logged, ready to be registered."""

    run_id: str
    artifact_path: str


class ModelComposer(Protocol):
    """Builds a model out of versions in the registry, where foreign code can do no harm."""

    def compose(self, spec: Mapping[str, Any], seconds: float) -> Composed:
        """Build what the spec says and log it to a run of its own; raises `Refused` with the composer's
        words, also when it takes too long, and `Unreachable`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An inference answer as it came through the gateway."""

    status: int
    body: Mapping[str, Any] | None
    seconds: float


class ModelGateway(Protocol):
    """Calls a model as a client would (Open Inference Protocol V2)."""

    def infer(
        self, url: str, request: Mapping[str, Any], headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """POST to `<url>/infer`; raises `Unreachable` when no HTTP answer came."""
