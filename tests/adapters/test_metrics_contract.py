"""What every metric source promises: the fake, the real Envoy, executors' pages and a real Prometheus alike.
What it promises of predictions is in `test_metrics_predictions.py`."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from releases.adapters.metrics.envoy import EnvoyMetrics, EnvoyMetricsConfig
from releases.adapters.metrics.executor import ExecutorMetrics, ExecutorMetricsConfig
from releases.adapters.metrics.prometheus import PrometheusMetrics, PrometheusMetricsConfig
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.domain.plan import TrafficSplit
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Counters, MetricSource, Missing
from tests.adapters.engines import DELAY, STATUS, Gateway, Model
from tests.adapters.pods import NAMESPACE, Farm, Prometheus, farm, prometheus
from tests.adapters.seldon_pages import IstioPage
from tests.fakes import FakeMetrics


@dataclass
class Subject:
    """`deploy` makes a deployment known; `answer` lets it answer once with a status; `settle` waits until the
    source has looked."""

    metrics: MetricSource
    deploy: Callable[[str], None]
    answer: Callable[[str, int], object]
    restart: Callable[[], None]
    go_away: Callable[[], None]
    settle: Callable[[], None] = lambda: None

    def counters(self, ref: str) -> Counters:
        self.settle()
        seen = self.metrics.read([ref])[ref]
        assert isinstance(seen, Counters)
        return seen


def fake_metrics(request: pytest.FixtureRequest) -> Subject:
    metrics = FakeMetrics()

    def answer(ref: str, status: int) -> None:
        metrics.now += 1
        metrics.serve(ref, ok=status < 400, client_errors=400 <= status < 500, errors=status >= 500)

    return Subject(
        metrics,
        metrics.deploy,
        answer,
        metrics.restart,
        lambda: setattr(metrics, "reachable", False),
    )


def envoy_metrics(request: pytest.FixtureRequest) -> Subject:
    envoy: Gateway = request.getfixturevalue("envoy")
    red: Model = request.getfixturevalue("red")
    if envoy.process is None:
        envoy.start()
    layout = envoy.layout
    router = EnvoyRouter(EnvoyRouterConfig(str(layout.envoy_admin), layout.xds, envoy.url))

    def deploy(ref: str) -> None:
        setting = RouteSetting(TrafficSplit(0), Arm(ref, red.address), None)
        router.apply({Route("acme", "production", ref): setting})

    def answer(ref: str, status: int) -> object:
        return envoy.post(f"/acme/production/v2/models/{ref}/infer", {STATUS: str(status)})

    def restart() -> None:
        envoy.stop()
        envoy.start()

    metrics = EnvoyMetrics(EnvoyMetricsConfig(str(layout.envoy_admin)))
    return Subject(metrics, deploy, answer, restart, envoy.stop)


def executor_metrics(request: pytest.FixtureRequest) -> Subject:
    farm: Farm = request.getfixturevalue("executors")
    farm.clear()
    config = ExecutorMetricsConfig(NAMESPACE, farm.url, seconds=5)
    return of_farm(farm, ExecutorMetrics(config, farm.cluster()), lambda: setattr(farm, "is_up", False))


def prometheus_metrics(request: pytest.FixtureRequest) -> Subject:
    return scraped(request, "executor")


def prometheus_istio_metrics(request: pytest.FixtureRequest) -> Subject:
    return scraped(request, "istio")


def scraped(request: pytest.FixtureRequest, series: str) -> Subject:
    farm: Farm = request.getfixturevalue("executors" if series == "executor" else "sidecars")
    running: Prometheus = request.getfixturevalue(f"prometheus_of_{series}")
    farm.clear()
    running.start()
    config = PrometheusMetricsConfig(running.url, NAMESPACE, series)
    subject = of_farm(farm, PrometheusMetrics(config, farm.cluster()), running.stop)
    return replace(subject, settle=farm.await_scrapes)


def of_farm(farm: Farm, metrics: MetricSource, go_away: Callable[[], None]) -> Subject:
    def restart() -> None:
        for pod in farm.pods:
            farm.restart(pod)

    def deploy(ref: str) -> None:
        if ref not in farm.refs.values():
            farm.deploy(ref)

    def answer(ref: str, status: int) -> None:
        farm.of(ref)[0].page.count(str(status))

    return Subject(metrics, deploy, answer, restart, go_away)


@pytest.fixture(scope="module")
def executors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(tmp_path_factory.mktemp("executors")) as running:
        yield running


@pytest.fixture(scope="module")
def sidecars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with farm(tmp_path_factory.mktemp("sidecars"), IstioPage) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus_of_executor(executors: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), executors) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus_of_istio(sidecars: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), sidecars) as running:
        yield running


@pytest.fixture(
    params=[
        fake_metrics,
        pytest.param(envoy_metrics, marks=pytest.mark.stack),
        executor_metrics,
        prometheus_metrics,
        prometheus_istio_metrics,
    ]
)
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


def counters(metrics: MetricSource, ref: str) -> Counters:
    seen = metrics.read([ref])[ref]
    assert isinstance(seen, Counters)
    return seen


def with_latencies(metrics: MetricSource, ref: str, number: int) -> Counters:
    """The counters as soon as so many latencies are in the histogram; they may lag by a second."""
    deadline = time.monotonic() + 5
    while sum((seen := counters(metrics, ref)).latency_ms) != number:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def test_read_after_answers_counts_them_by_outcome(subject: Subject) -> None:
    subject.deploy("by-outcome")
    for status in (200, 200, 200, 302, 404, 422, 500, 503):
        subject.answer("by-outcome", status)
    seen = subject.counters("by-outcome")
    assert (seen.ok, seen.client_errors, seen.errors) == (4, 2, 2)


def test_read_of_a_deployment_without_requests_is_zeros_not_missing(subject: Subject) -> None:
    subject.deploy("idle")
    seen = subject.counters("idle")
    assert (seen.ok, seen.client_errors, seen.errors, sum(seen.latency_ms)) == (0, 0, 0, 0)


def test_read_of_an_unknown_deployment_is_no_data(subject: Subject) -> None:
    subject.deploy("known")
    subject.settle()
    seen = subject.metrics.read(["known", "unknown"])
    assert isinstance(seen["known"], Counters)
    assert seen["unknown"] is Missing.NO_DATA


def test_read_counts_every_latency_in_one_bucket(subject: Subject) -> None:
    subject.deploy("latencies")
    for _ in range(5):
        subject.answer("latencies", 200)
    subject.settle()
    seen = with_latencies(subject.metrics, "latencies", 5)
    assert len(seen.latency_ms) == len(seen.bounds_ms) + 1
    assert list(seen.bounds_ms) == sorted(set(seen.bounds_ms))


def test_restart_of_the_source_begins_at_zero(subject: Subject) -> None:
    subject.deploy("restarted")
    subject.answer("restarted", 200)
    subject.restart()
    subject.deploy("restarted")
    assert subject.counters("restarted").ok == 0


def test_read_after_a_new_look_is_of_a_later_moment_and_the_same_series(subject: Subject) -> None:
    subject.deploy("twice")
    before = subject.counters("twice")
    subject.answer("twice", 200)
    after = subject.counters("twice")
    assert (before.ok, after.ok) == (0, 1)
    assert after.at > before.at
    assert after.series == before.series


def test_source_that_does_not_answer_is_unreachable_for_all(subject: Subject) -> None:
    subject.deploy("gone")
    subject.go_away()
    assert subject.metrics.read(["gone", "other"]) == {
        "gone": Missing.UNREACHABLE,
        "other": Missing.UNREACHABLE,
    }


@pytest.mark.stack
def test_envoy_counts_a_dead_model_server_as_errors(envoy: Gateway) -> None:
    subject = route_to(envoy, "dead", "127.0.0.1:9", seconds=30)
    answer = envoy.post("/acme/production/v2/models/dead/infer")
    seen = counters(subject, "dead")
    assert answer.status_code == 503
    assert (seen.ok, seen.client_errors, seen.errors, sum(seen.latency_ms)) == (0, 0, 1, 0)


@pytest.mark.stack
def test_envoy_counts_an_answer_that_comes_too_late_as_an_error(envoy: Gateway, red: Model) -> None:
    subject = route_to(envoy, "late", red.address, seconds=0.2)
    answer = envoy.post("/acme/production/v2/models/late/infer", {DELAY: "0.5"})
    seen = counters(subject, "late")
    assert answer.status_code == 504
    assert (seen.ok, seen.errors) == (0, 1)


@pytest.mark.stack
def test_envoy_puts_a_latency_of_60_ms_between_the_right_bounds(envoy: Gateway, red: Model) -> None:
    subject = route_to(envoy, "slow", red.address, seconds=30)
    envoy.post("/acme/production/v2/models/slow/infer", {DELAY: "0.06"})
    seen = with_latencies(subject, "slow", 1)
    bucket = seen.latency_ms.index(1)
    assert seen.bounds_ms[bucket - 1] >= 50
    assert seen.bounds_ms[bucket] <= 200


def route_to(envoy: Gateway, ref: str, address: str, seconds: float) -> MetricSource:
    """Serve `ref` at an address; the metrics to look at."""
    if envoy.process is None:
        envoy.start()
    admin, xds = str(envoy.layout.envoy_admin), envoy.layout.xds
    router = EnvoyRouter(EnvoyRouterConfig(admin, xds, envoy.url, request_seconds=seconds))
    setting = RouteSetting(TrafficSplit(0), Arm(ref, address), None)
    router.apply({Route("acme", "production", ref): setting})
    return EnvoyMetrics(EnvoyMetricsConfig(admin))
