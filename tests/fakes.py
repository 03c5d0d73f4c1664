"""The ports in memory: what the services are tested with.

Each fake keeps the contract that `tests/adapters` checks on it and on the real engine alike. Every
fake has `reachable`; set it to False and the engine is away. What a test may set or look at is a
public attribute.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from releases.domain.autoscaling import Autoscaling
from releases.domain.judge import BESIDE
from releases.domain.release import TargetState
from releases.domain.routing import Route, RouteSetting
from releases.ports import (
    AdapterError,
    Answer,
    CommitStatus,
    Composed,
    Counters,
    Deployment,
    Message,
    Missing,
    ModelReport,
    Ports,
    Refused,
    RegisteredVersion,
    TargetStatus,
    Unreachable,
)
from tests.fakes_around import FakeConnection, FakeGuard, FakeMirror, FakePreflight

SIGNATURE: Mapping[str, Any] = {
    "inputs": [{"name": "alcohol", "type": "double", "required": True}],
    "outputs": [{"type": "long", "required": True}],
}
EXAMPLE: Mapping[str, Any] = {
    "parameters": {"content_type": "pd"},
    "inputs": [{"name": "alcohol", "datatype": "FP64", "shape": [1, 1], "data": [12.5]}],
}
OUTPUTS: tuple[Mapping[str, Any], ...] = (
    {"name": "output-1", "datatype": "INT64", "shape": [1, 1], "data": [1]},
)
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)


@dataclass
class LoggedModel:
    """What a training run left behind under one artifact path."""

    files: Mapping[str, bytes]
    signature: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass
class FakeRegistry:
    """A registry whose runs are logged with `log`. Version numbers count from 1 per model."""

    reachable: bool = True
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    runs: dict[tuple[str, str], LoggedModel] = field(default_factory=dict)
    versions: dict[str, dict[int, RegisteredVersion]] = field(default_factory=lambda: defaultdict(dict))
    artifacts: dict[tuple[str, int], Mapping[str, bytes]] = field(default_factory=dict)

    def log(
        self,
        run_id: str,
        artifact_path: str = "model",
        files: Mapping[str, bytes] | None = None,
        signature: Mapping[str, Any] | None = SIGNATURE,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """A training run logs a model, as someone's pipeline does."""
        files = {"MLmodel": f"run_id: {run_id}\n".encode()} if files is None else files
        self.runs[run_id, artifact_path] = LoggedModel(files, signature, metrics or {})

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        self._connect()
        known = self.versions.get(name, {}).values()
        return [replace(version, signature=None, metrics={}, composition=None) for version in known]

    def get_version(self, name: str, number: int) -> RegisteredVersion:
        self._connect()
        return self._find(name, number)

    def register(
        self, name: str, run_id: str, artifact_path: str, tags: Mapping[str, str], description: str
    ) -> RegisteredVersion:
        self._connect()
        logged = self.runs.get((run_id, artifact_path))
        if logged is None:
            raise Refused(f"run {run_id} has no model at {artifact_path}")
        number = max(self.versions.get(name, {}), default=0) + 1
        version = RegisteredVersion(
            name=name,
            number=number,
            run_id=run_id,
            source=f"runs:/{run_id}/{artifact_path}",
            created_at=self.now,
            tags=dict(tags),
            signature=logged.signature,
            metrics=dict(logged.metrics),
            description=description,
            composition=(yaml.safe_load(logged.files["MLmodel"]).get("metadata") or {}).get("composition")
            if "MLmodel" in logged.files
            else None,
        )
        self.versions[name][number] = version
        self.artifacts[name, number] = logged.files
        return version

    def annotate(self, name: str, number: int, tags: Mapping[str, str], aliases: Sequence[str] = ()) -> None:
        self._connect()
        version = self._find(name, number)
        for other in list(self.versions[name].values()):
            kept = tuple(alias for alias in other.aliases if alias not in aliases)
            self.versions[name][other.number] = replace(other, aliases=kept)
        version = self.versions[name][number]
        self.versions[name][number] = replace(
            version, tags={**version.tags, **tags}, aliases=(*version.aliases, *aliases)
        )

    def download(self, name: str, number: int, directory: Path) -> None:
        self._connect()
        self._find(name, number)
        files = self.artifacts.get((name, number))
        if files is None:
            raise Refused(f"the artifact of {name} version {number} is gone")
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)

    def _find(self, name: str, number: int) -> RegisteredVersion:
        version = self.versions.get(name, {}).get(number)
        if version is None:
            raise Refused(f"{name} has no version {number}")
        return version

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the registry does not answer")


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
