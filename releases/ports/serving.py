"""What serves models: deployments and what they need, what stands around them, routes, counters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from releases.domain.autoscaling import Autoscaling
from releases.domain.network import Callers, NetworkRules
from releases.domain.release import TargetState
from releases.domain.routing import Route, RouteSetting


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
