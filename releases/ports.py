"""What the portal asks of the world: small protocols, the data that crosses them, and their errors.

Knows no vendor and no Django. Adapters implement these; services receive them as arguments; one contract
suite per port runs against the in-memory fake and against every real adapter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from releases.domain.autoscaling import Autoscaling
from releases.domain.network import Callers, NetworkRules
from releases.domain.release import TargetState
from releases.domain.routing import Arm as Arm
from releases.domain.routing import Route, RouteSetting


class AdapterError(Exception):
    """The world did not do what was asked; the text is fit to be shown."""


class Unreachable(AdapterError):
    """Nothing is known: no connection, no answer in time, or the engine is failing (5xx)."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(AdapterError):
    """The engine understood and said no; asking again will not help."""


# ---- registry ------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version in the registry. `signature` is MLflow's: {"inputs": [...], "outputs": [...],
    "params": [...]}, the last two only if the model has them; None when there is no signature.
    `composition` is the document of a composed model, as it says itself; None when it is not composed.
    Neither is in the answer of `list_versions`, which gives no metrics either."""

    name: str
    number: int
    run_id: str
    source: str
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    signature: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    composition: Mapping[str, Any] | None = None


class ModelRegistry(Protocol):
    """Where model versions are registered. Every call raises `Unreachable` or `Refused`."""

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of the model, any order; empty when the model is unknown. Cheap enough to be
        polled: `signature` and `metrics` are left out."""

    def get_version(self, name: str, number: int) -> RegisteredVersion:
        """One version with its signature and its (finite) metrics; `Refused` when it is unknown."""

    def register(
        self, name: str, run_id: str, artifact_path: str, tags: Mapping[str, str], description: str
    ) -> RegisteredVersion:
        """Register the model that a run logged under `artifact_path`; creates the model if needed."""

    def annotate(
        self,
        name: str,
        number: int,
        tags: Mapping[str, str],
        aliases: Sequence[str] = (),
    ) -> None:
        """Set tags on the version and point the aliases at it. Absolute, so repeatable."""

    def download(self, name: str, number: int, directory: Path) -> None:
        """Write the version's artifact into `directory`; `Refused` when it is gone."""


@dataclass(frozen=True, slots=True)
class RegistryNotice:
    """What the registry tells by itself: in which message, when it was sent, the event, and the model of
    which something has happened to a version (empty: of none)."""

    delivery: str
    sent_at: datetime
    event: str
    model: str


@dataclass(frozen=True, slots=True)
class RegistryWebhook:
    """Where the registry sends notices, and how they are signed. Of one name there is one."""

    name: str
    url: str
    secret: str = field(repr=False)


class RegistryWebhooks(Protocol):
    """Has a registry tell by itself. Every call raises `Unreachable` or `Refused`."""

    def connect(self, wanted: RegistryWebhook) -> str:
        """Register it, or bring the one of this name or address in line; says which. Repeatable."""

    def test(self, name: str) -> str:
        """Have the registry send an example; what was answered. `Refused` when it did not arrive."""

    def remove(self, name: str) -> bool:
        """Make it not exist; whether it did."""


# ---- serving target ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Deployment:
    """One immutable model version to be served. `ref` is unique, DNS-like and at most 63 characters.

    `autoscaling` is the only part that may change while it runs, and only where a target can scale; None:
    one replica."""

    ref: str
    tenant: str
    environment: str
    model: str
    version: str
    digest: str
    artifact: Path
    autoscaling: Autoscaling | None = None


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """`address` is host:port once known; `digest` is that of what is served, for the drift watchdog.
    `autoscaling` is what is in effect, read back: None where there is none."""

    state: TargetState
    detail: str
    address: str | None = None
    digest: str | None = None
    autoscaling: Autoscaling | None = None


class ServingTarget(Protocol):
    """Runs model versions."""

    def ensure(self, deployment: Deployment) -> None:
        """Make the deployment exist, without traffic if it is new. Repeatable; `Refused` when it can never
        run."""

    def status(self, refs: Iterable[str]) -> dict[str, TargetStatus]:
        """One entry per ref; UNKNOWN for all when the target is unreachable."""

    def remove(self, ref: str) -> None:
        """Make the deployment not exist. Repeatable."""

    def list(self) -> set[str]:
        """The refs of all deployments that exist, so that strays can be removed."""


# ---- what a deployment needs before it can be ensured ------------------------------------------------
class ArtifactMirror(Protocol):
    """Where a serving target fetches artifacts from. An artifact lies there under its digest and never
    changes; every call raises `Unreachable` or `Refused`."""

    def address(self, deployment: Deployment) -> str:
        """Where the artifact lies, or would lie, for people to read. Asks nobody."""

    def holds(self, deployment: Deployment) -> bool:
        """Whether the whole artifact is there. Cheap enough for every pass."""

    def put(self, deployment: Deployment) -> None:
        """Bring it there; may take minutes. Repeatable, also half way."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a manifest would not be accepted, or would not work: where in it, and what to do about it."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What `ensure` would do: the manifests there now and those that would be there then, as YAML without
    what the engine adds itself (empty: nothing there), and what is wrong with them."""

    before: str
    after: str
    problems: tuple[Problem, ...] = ()


class Preflight(Protocol):
    """Looks at the exact manifests before anything is applied."""

    def preview(self, deployment: Deployment) -> Preview:
        """Render, check, and have the engine itself try it dry. Changes nothing; raises `Unreachable`."""


# ---- what stands around the models of a place --------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Protection:
    """Who may reach the models of one environment. `network`: None leaves the namespace open."""

    tenant: str
    environment: str
    network: NetworkRules | None
    callers: Callers


class Guard(Protocol):
    """Keeps callers apart. Every call raises `Unreachable` or `Refused`."""

    def apply(self, wanted: Protection) -> None:
        """Bring them about; what is no longer wanted goes. Repeatable."""

    def drift(self, wanted: Protection) -> list[str]:
        """Sentences on what differs from it in the engine now, which `apply` cures; empty: nothing."""

    def weaknesses(self, wanted: Protection) -> list[str]:
        """Sentences on why it does not protect even where it stands, which no `apply` cures."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a connection needs: what it is called, whether it is there, and a sentence."""

    name: str
    is_good: bool
    said: str


class Connection(Protocol):
    """The connection of an environment to its engines."""

    def examine(self) -> list[Finding]:
        """Try everything that the portal will need; never raises for what is missing."""


# ---- traffic router ------------------------------------------------------------------------------
class TrafficRouter(Protocol):
    """Splits the traffic of a route between two arms."""

    def apply(self, settings: Mapping[Route, RouteSetting]) -> None:
        """Bring the settings about for exactly these routes; others stay. Repeatable."""

    def read(self, routes: Iterable[Route]) -> dict[Route, RouteSetting | None]:
        """What is *in effect* in the gateway itself; None where the route does not exist.

        Raises `Unreachable` when the gateway does not answer."""

    def remove(self, routes: Iterable[Route]) -> None:
        """Make the routes not exist. Repeatable."""

    def url(self, route: Route) -> str:
        """Where a caller finds the model: ends in /v2/models/<model>."""


# ---- metrics -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Counters:
    """Cumulative counts of one deployment since its series began.

    `at` is the moment that the counts are of, in seconds by the source's clock: a source that looks only now
    and then gives the same one until it has looked again, and an answer that is not newer says nothing new.
    `series` names what was counted together, where that is more than one process: when it changes, a pod has
    come, gone or begun anew, and the sums of before and after cannot be compared.
    `latency_ms` counts per bucket (not cumulative over buckets), one entry more than `bounds_ms`.
    `predictions` counts per predicted value, one prediction per request: "label:class_2", or
    "number:0.5946" for the bucket of numbers with that upper bound. Empty when the source could not tell,
    which is not zero; it begins at zero again when the model server does, not when the gateway does.
    `beside` counts what happened beside the model (`judge.BESIDE`), from the same server: empty when it could
    not tell, zeros when nothing counts there. Answers from the cache are among `ok` and `latency_ms`.
    """

    at: float
    ok: int
    client_errors: int
    errors: int
    bounds_ms: tuple[float, ...] = ()
    latency_ms: tuple[int, ...] = ()
    predictions: Mapping[str, int] = field(default_factory=dict)
    series: str = ""
    beside: Mapping[str, int] = field(default_factory=dict)


class Missing(StrEnum):
    """Why there are no counters: two different things."""

    NO_DATA = "no_data"
    UNREACHABLE = "unreachable"


class MetricSource(Protocol):
    """Counts requests per deployment."""

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        """One entry per ref, in one call to the source; UNREACHABLE for all when it fails."""


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


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of one environment, made by `adapters.factory` at the entry points."""

    registry: ModelRegistry
    target: ServingTarget
    router: TrafficRouter
    metrics: MetricSource
    probe: ModelProbe
    gateway: ModelGateway
    notifier: Notifier
    statuses: CommitStatuses
    mirror: ArtifactMirror
    preflight: Preflight
    guard: Guard
    connection: Connection
    composer: ModelComposer
