"""The ports in memory: what the services are tested with.

Each fake keeps the contract that `tests/adapters` checks on it and on the real engine alike. Every
fake has `reachable`; set it to False and the engine is away. What a test may set or look at is a
public attribute.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from releases.domain.autoscaling import Autoscaling
from releases.domain.judge import BESIDE
from releases.domain.release import TargetState
from releases.domain.routing import Route, RouteSetting
from releases.ports import (
    Counters,
    Deployment,
    Missing,
    Ports,
    Refused,
    TargetStatus,
    Unreachable,
)
from tests.fakes_around import FakeConnection, FakeGuard, FakeMirror, FakePreflight
from tests.fakes_outside import FakeComposer, FakeGateway, FakeNotifier, FakeProbe, FakeStatuses
from tests.fakes_registry import FakeRegistry

BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


@dataclass
class FakeTarget:
    """Deployments get ready after `reads_until_ready` calls of `status`; those in `broken` fail."""

    reachable: bool = True
    reads_until_ready: int = 0
    broken: dict[str, str] = field(default_factory=dict)  # ref -> why it fails
    deployments: dict[str, Deployment] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # what is served, when it has drifted
    reads: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ports: dict[str, int] = field(default_factory=dict)
    scaled: dict[str, Autoscaling | None] = field(default_factory=dict)  # changed by somebody else

    def ensure(self, deployment: Deployment) -> None:
        self._connect()
        self.scaled.pop(deployment.ref, None)
        if not deployment.artifact.is_dir():
            raise Refused(f"the artifact {deployment.artifact} does not exist")
        if deployment.ref not in self.ports:
            self.ports[deployment.ref] = max(self.ports.values(), default=20_999) + 1
        self.deployments[deployment.ref] = deployment

    def status(self, refs: Iterable[str]) -> dict[str, TargetStatus]:
        if not self.reachable:
            return {ref: TargetStatus(TargetState.UNKNOWN, "the target does not answer") for ref in refs}
        return {ref: self._status(ref) for ref in refs}

    def remove(self, ref: str) -> None:
        self._connect()
        for known in (self.deployments, self.ports, self.reads, self.digests):
            known.pop(ref, None)

    def list(self) -> set[str]:
        self._connect()
        return set(self.deployments)

    def _status(self, ref: str) -> TargetStatus:
        deployment = self.deployments.get(ref)
        if deployment is None:
            return TargetStatus(TargetState.ABSENT, "not deployed")
        address = f"127.0.0.1:{self.ports[ref]}"
        digest = self.digests.get(ref, deployment.digest)
        if ref in self.broken:
            return TargetStatus(TargetState.FAILED, self.broken[ref], address, digest)
        self.reads[ref] += 1
        if self.reads[ref] <= self.reads_until_ready:
            return TargetStatus(TargetState.STARTING, "not ready yet", address, digest)
        scaling = self.scaled.get(ref, deployment.autoscaling)
        return TargetStatus(TargetState.READY, "ready", address, digest, scaling)

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the target does not answer")


@dataclass
class FakeRouter:
    """`in_effect` is what the gateway does; change it to play somebody who meddles. While `stuck`,
    settings are accepted and wait in `pending` until `take_effect` is called."""

    reachable: bool = True
    stuck: bool = False
    in_effect: dict[Route, RouteSetting] = field(default_factory=dict)
    pending: dict[Route, RouteSetting] = field(default_factory=dict)
    applied: list[dict[Route, RouteSetting]] = field(default_factory=list)  # every call, in order

    def apply(self, settings: Mapping[Route, RouteSetting]) -> None:
        self._connect()
        for route, setting in settings.items():
            _refuse_impossible(route, setting)
        self.applied.append(dict(settings))
        self.pending.update(settings)
        if not self.stuck:
            self.take_effect()

    def take_effect(self) -> None:
        """What was applied comes into effect."""
        self.in_effect.update(self.pending)
        self.pending.clear()

    def read(self, routes: Iterable[Route]) -> dict[Route, RouteSetting | None]:
        self._connect()
        return {route: self.in_effect.get(route) for route in routes}

    def remove(self, routes: Iterable[Route]) -> None:
        self._connect()
        for route in routes:
            self.in_effect.pop(route, None)
            self.pending.pop(route, None)

    def url(self, route: Route) -> str:
        return f"http://gateway.test/{route.tenant}/{route.environment}/v2/models/{route.model}"

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the gateway does not answer")


def _refuse_impossible(route: Route, setting: RouteSetting) -> None:
    if why := setting.impossibility():
        raise Refused(f"{route.name}: {why}")


@dataclass
class FakeMetrics:
    """`deploy` makes a series begin at zero, `serve` counts requests, `restart` begins all anew.

    Predictions come from the model servers, which `predict`, may be `silent` and are restarted by
    `restart_model`. While it is `looking_away` it answers with what it saw last, as a Prometheus does between
    two scrapes; pods come and go by `change_pods`."""

    reachable: bool = True
    now: float = 0.0
    series: dict[str, Counters] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)  # their model servers do not say what was predicted
    held: dict[str, Counters] = field(default_factory=dict)  # what it saw before it looked away

    def deploy(self, *refs: str) -> None:
        """The gateway knows these deployments from now on, and their model servers count."""
        for ref in refs:
            self.series.setdefault(ref, _zero())

    def predict(self, ref: str, counts: Mapping[str, int]) -> None:
        """The model predicts so many of each value."""
        self.deploy(ref)
        sums = Counter(self.series[ref].predictions)
        sums.update(counts)
        self.series[ref] = replace(self.series[ref], predictions=dict(sums))

    def happen_beside(self, ref: str, **counts: int) -> None:
        """So much happens beside the model: `cache_hits=3`."""
        self.deploy(ref)
        sums = Counter(dict.fromkeys(BESIDE, 0) | dict(self.series[ref].beside))
        sums.update(counts)
        self.series[ref] = replace(self.series[ref], beside=dict(sums))

    def restart_model(self, ref: str) -> None:
        """The model server starts again and counts from zero."""
        zero = _zero()
        self.series[ref] = replace(self.series[ref], predictions=zero.predictions, beside=zero.beside)

    def serve(
        self,
        ref: str,
        ok: int = 0,
        errors: int = 0,
        client_errors: int = 0,
        latency_ms: float = 4.0,
    ) -> None:
        """So many requests are answered, each after `latency_ms`."""
        self.deploy(ref)
        seen = self.series[ref]
        latency = list(seen.latency_ms)
        bucket = sum(latency_ms > bound for bound in BOUNDS_MS)
        latency[bucket] += ok + errors + client_errors
        self.series[ref] = replace(
            seen,
            ok=seen.ok + ok,
            errors=seen.errors + errors,
            client_errors=seen.client_errors + client_errors,
            latency_ms=tuple(latency),
        )

    def restart(self) -> None:
        """The gateway starts again and counts from zero; the model servers count on."""
        self.series = {
            ref: replace(_zero(), predictions=seen.predictions, beside=seen.beside)
            for ref, seen in self.series.items()
        }

    def change_pods(self, ref: str, leaving: int) -> None:
        """A pod goes that has answered so many, all of them well, and what it counted goes with it."""
        seen = self.series[ref]
        self.series[ref] = replace(seen, ok=seen.ok - leaving, series=f"{seen.series}+")

    @contextmanager
    def looking_away(self, *refs: str) -> Iterator[None]:
        """During the block it knows nothing new, of these or of all."""
        away = [ref for ref in self.series if ref in refs or not refs]
        self.held = {ref: self._counters(ref) for ref in away}
        yield
        self.held = {}

    def read(self, refs: Iterable[str]) -> dict[str, Counters | Missing]:
        if not self.reachable:
            return dict.fromkeys(refs, Missing.UNREACHABLE)
        now = {ref: self._counters(ref) for ref in self.series} | self.held
        return {ref: now.get(ref, Missing.NO_DATA) for ref in refs}

    def _counters(self, ref: str) -> Counters:
        seen = replace(self.series[ref], at=self.now)
        return replace(seen, predictions={}, beside={}) if ref in self.silent else seen


def _zero() -> Counters:
    return Counters(0.0, 0, 0, 0, BOUNDS_MS, (0,) * (len(BOUNDS_MS) + 1), {"label:other": 0})


@dataclass
class FakeWorld:
    """All fakes of one environment; `ports` is what a service gets."""

    registry: FakeRegistry = field(default_factory=FakeRegistry)
    target: FakeTarget = field(default_factory=FakeTarget)
    router: FakeRouter = field(default_factory=FakeRouter)
    metrics: FakeMetrics = field(default_factory=FakeMetrics)
    probe: FakeProbe = field(default_factory=FakeProbe)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    notifier: FakeNotifier = field(default_factory=FakeNotifier)
    statuses: FakeStatuses = field(default_factory=FakeStatuses)
    mirror: FakeMirror = field(default_factory=FakeMirror)
    preflight: FakePreflight = field(default_factory=FakePreflight)
    guard: FakeGuard = field(default_factory=FakeGuard)
    connection: FakeConnection = field(default_factory=FakeConnection)
    composer: FakeComposer = field(init=False)

    def __post_init__(self) -> None:
        self.composer = FakeComposer(self.registry)

    @property
    def ports(self) -> Ports:
        return Ports(
            registry=self.registry,
            target=self.target,
            router=self.router,
            metrics=self.metrics,
            probe=self.probe,
            gateway=self.gateway,
            notifier=self.notifier,
            statuses=self.statuses,
            mirror=self.mirror,
            preflight=self.preflight,
            guard=self.guard,
            connection=self.connection,
            composer=self.composer,
        )
