"""What the metric source `prometheus` does when Prometheus, a scrape or a pod fails; with a real Prometheus.
Its contract is in `test_metrics_contract.py`."""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace

import httpx
import pytest

from releases.adapters.metrics.prometheus import (
    LARGEST_ANSWER,
    SERIES,
    PrometheusMetrics,
    PrometheusMetricsConfig,
    query,
)
from releases.domain.judge import Totals, increment
from releases.ports import Counters, Missing
from tests.adapters.pods import NAMESPACE, Farm, Prometheus, farm, prometheus
from tests.cluster.serving import LoopbackServer, Reply, Request

REF, OTHER = "acme-production-wine-v1-4-0-9f3ac1d2", "acme-production-wine-v1-3-2-0b7d11aa"
COUNTED = "seldon_api_executor_server_requests_seconds_count"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, Prometheus]]:
    """Pods that two jobs of one Prometheus scrape, as happens to who has annotations and a PodMonitor."""
    with (
        farm(tmp_path_factory.mktemp("farm")) as pods,
        prometheus(tmp_path_factory.mktemp("prometheus"), pods, jobs=2) as running,
    ):
        yield pods, running


@pytest.fixture
def pods(everything: tuple[Farm, Prometheus]) -> Farm:
    everything[0].clear()
    return everything[0]


@pytest.fixture
def running(everything: tuple[Farm, Prometheus]) -> Iterator[Prometheus]:
    yield everything[1]
    everything[1].stop()
    everything[1].start()


@pytest.fixture
def config(everything: tuple[Farm, Prometheus]) -> PrometheusMetricsConfig:
    return PrometheusMetricsConfig(everything[1].url, NAMESPACE)


@pytest.fixture
def metrics(pods: Farm, config: PrometheusMetricsConfig) -> PrometheusMetrics:
    return PrometheusMetrics(config, pods.cluster())


def counters(metrics: PrometheusMetrics, ref: str = REF) -> Counters:
    seen = metrics.read([ref])[ref]
    assert isinstance(seen, Counters), seen
    return seen


def totals(seen: Counters) -> Totals:
    return Totals(**{name: value for name, value in asdict(seen).items() if name != "predictions"})


def test_read_adds_up_the_pods_and_not_the_jobs_that_scrape_them(
    pods: Farm, metrics: PrometheusMetrics
) -> None:
    first, second = pods.deploy(REF, pods=2)
    [other] = pods.deploy(OTHER)
    first.page.count("200", seconds=0.004)
    second.page.count("200", seconds=0.06)
    second.page.count("503", seconds=30.0)
    other.page.count("404")
    pods.await_scrapes()
    ours, others = counters(metrics), counters(metrics, OTHER)
    assert (ours.ok, ours.client_errors, ours.errors) == (2, 0, 1)
    assert (others.ok, others.client_errors, others.errors) == (0, 1, 0)
    assert ours.latency_ms == (1, 0, 0, 0, 1, *[0] * 9, 1)


def test_read_asks_prometheus_once_whatever_the_number_of_deployments(
    pods: Farm, config: PrometheusMetricsConfig
) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return Reply(200, b'{"status": "success", "data": {"resultType": "vector", "result": []}}')

    for ref in (REF, OTHER):
        pods.deploy(ref)
    server = LoopbackServer("prometheus", answer)
    metrics = PrometheusMetrics(replace(config, url=f"http://127.0.0.1:{server.port}/base/"), pods.cluster())
    assert metrics.read([REF, OTHER]) == {REF: Missing.NO_DATA, OTHER: Missing.NO_DATA}
    server.stop()
    assert [(request.method, request.target) for request in asked] == [("POST", "/base/api/v1/query")]


def test_readings_between_two_scrapes_are_of_one_moment_and_the_same(
    pods: Farm, metrics: PrometheusMetrics
) -> None:
    [pod] = pods.deploy(REF)
    pods.await_scrapes()
    before, seen = pod.scraped, []
    for _ in range(40):
        pod.page.count("200")
        seen.append(counters(metrics))
        time.sleep(0.02)
    scrapes = pod.scraped - before
    assert len({one.at for one in seen}) == len({(one.at, one.ok) for one in seen})
    assert 1 < len({one.at for one in seen}) <= scrapes + 1
    assert sorted(seen, key=lambda one: one.at) == seen


def test_counts_go_on_over_a_restart_of_prometheus(
    pods: Farm, metrics: PrometheusMetrics, running: Prometheus
) -> None:
    [pod] = pods.deploy(REF)
    pod.page.count("200")
    pods.await_scrapes()
    before = counters(metrics)
    running.stop()
    assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}
    pod.page.count("500")
    running.start()
    pods.await_scrapes()
    step = increment(totals(before), totals(counters(metrics)))
    assert step is not None
    assert (step.requests, step.errors, step.continuous) == (1, 1, True)


def test_read_after_a_restart_hidden_by_other_pods_cannot_be_compared(
    pods: Farm, metrics: PrometheusMetrics
) -> None:
    restarting, busy = pods.deploy(REF, pods=2)
    restarting.page.count("200")
    pods.await_scrapes()
    before = counters(metrics)
    pods.restart(restarting)
    for _ in range(3):
        busy.page.count("200")
    pods.await_scrapes()
    after = counters(metrics)
    assert (before.ok, after.ok) == (1, 3)
    assert increment(totals(before), totals(after)) is None


def test_read_after_a_pod_has_gone_counts_it_no_longer_and_cannot_be_compared(
    pods: Farm, metrics: PrometheusMetrics
) -> None:
    going, staying = pods.deploy(REF, pods=2)
    going.page.count("200")
    staying.page.count("200")
    pods.await_scrapes()
    before = counters(metrics)
    pods.remove(going)
    after = counters(metrics)  # at once: Prometheus still has its series
    assert (before.ok, after.ok) == (2, 1)
    assert increment(totals(before), totals(after)) is None


def test_read_with_a_ready_pod_that_cannot_be_scraped_is_unreachable_for_its_deployment_alone(
    pods: Farm, metrics: PrometheusMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = pods.deploy(REF, pods=2)
    pods.deploy(OTHER)
    bad.status = 500
    pods.await_scrapes()
    seen = metrics.read([REF, OTHER])
    assert seen[REF] is Missing.UNREACHABLE
    assert isinstance(seen[OTHER], Counters)
    assert f"Prometheus cannot scrape 1 of its 2 pods well, {bad.name} among them" in caplog.text
    bad.is_ready = False
    good.page.count("200")
    pods.await_scrapes()
    assert counters(metrics).ok == 1


def test_read_leaves_out_a_pod_that_was_not_scraped_yet(pods: Farm, metrics: PrometheusMetrics) -> None:
    [good] = pods.deploy(REF)
    good.page.count("200")
    pods.add(REF, "wine-that-prometheus-has-not-found-yet")
    pods.deploy(OTHER, pods=0)
    pods.add(OTHER, "wine-that-it-has-not-found-either")
    pods.await_scrapes()
    assert counters(metrics).ok == 1
    assert metrics.read([OTHER]) == {OTHER: Missing.NO_DATA}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "1.5", "1e300"])
def test_read_of_a_value_that_is_no_count_is_unreachable_for_its_deployment_alone(
    pods: Farm, metrics: PrometheusMetrics, value: str
) -> None:
    [bad] = pods.deploy(REF)
    pods.deploy(OTHER)
    bad.page.count("200")
    line = f'{COUNTED}{{service="predictions",method="post",code="500"}} {value}\n'
    bad.content = bad.page.text() + line.encode()
    pods.await_scrapes()
    seen = metrics.read([REF, OTHER])
    assert seen[REF] is Missing.UNREACHABLE
    assert isinstance(seen[OTHER], Counters)


def test_read_of_scrapes_that_are_too_old_is_no_data(
    pods: Farm, config: PrometheusMetricsConfig, running: Prometheus
) -> None:
    pods.deploy(REF)
    pods.await_scrapes()
    running.stop()
    running.start(scraping=False)
    fresh = PrometheusMetrics(config, pods.cluster())
    assert isinstance(fresh.read([REF])[REF], Counters)
    time.sleep(0.6)
    strict = PrometheusMetrics(replace(config, stale_seconds=0.5), pods.cluster())
    assert strict.read([REF]) == {REF: Missing.NO_DATA}


def test_read_while_the_api_server_is_away_is_unreachable(pods: Farm, metrics: PrometheusMetrics) -> None:
    pods.deploy(REF)
    pods.is_up = False
    assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}


ERROR = b'{"status": "error", "errorType": "execution", "error": "query timed out in expression evaluation"}'
STRANGE = b'{"status": "success", "data": {"resultType": "vector", "result": [%s]}}'


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, ERROR, "answers 503, execution: query timed out in expression evaluation"),
        (422, ERROR, "answers 422, execution"),
        (500, b"Internal Server Error", "answers 500, not as a Prometheus does"),
        (200, b"<html>log in first</html>", "answers 200, not as a Prometheus does"),
        (200, b"[]", "not as a Prometheus does"),
        (302, b"", "answers 302"),
        (200, STRANGE % b"7", "rows that are none"),
        (200, STRANGE % b'{"metric": {"pod": "wine-0"}, "value": [1, "many"]}', "rows that are none"),
        (200, STRANGE % b'{"metric": {"pod": "wine-0"}, "value": [1, "2"]}', "rows that are none"),
        (200, b" " * (LARGEST_ANSWER + 1), "is larger than 8 MiB"),
    ],
)
def test_answer_that_is_none_is_unreachable_and_said(
    pods: Farm,
    config: PrometheusMetricsConfig,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    said: str,
) -> None:
    pods.deploy(REF)
    server = LoopbackServer("prometheus", lambda request: Reply(status, body))
    url = f"http://127.0.0.1:{server.port}"
    metrics = PrometheusMetrics(replace(config, url=url), pods.cluster())
    assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}
    assert said in caplog.text
    server.stop()


def test_prometheus_that_hangs_is_unreachable_in_time(pods: Farm, config: PrometheusMetricsConfig) -> None:
    def hang(request: Request) -> Reply:
        time.sleep(5)
        return Reply(200, b"{}")

    server = LoopbackServer("prometheus", hang)
    url = f"http://127.0.0.1:{server.port}"
    metrics = PrometheusMetrics(replace(config, url=url, seconds=0.3), pods.cluster())
    started = time.monotonic()
    assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}
    assert time.monotonic() - started < 2
    server.stop()


@pytest.mark.parametrize("series", sorted(SERIES))
@pytest.mark.parametrize(
    "namespace",
    ['x"} or up{namespace="acme-production', "x\\", "two\nlines", "$copies", "$at"],
)
def test_query_with_a_namespace_that_is_none_finds_nothing(
    pods: Farm, config: PrometheusMetricsConfig, series: str, namespace: str
) -> None:
    pods.deploy(REF)[0].page.count("200")
    pods.await_scrapes()
    for asked, finds in ((namespace, False), (NAMESPACE, True)):
        sent = {"query": query(series, asked)}
        answer = httpx.post(f"{config.url}/api/v1/query", data=sent, trust_env=False).json()
        assert answer["status"] == "success", answer
        assert bool(answer["data"]["result"]) is finds


def test_config_with_series_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown series: 'linkerd'; known are: executor, istio"):
        PrometheusMetricsConfig("http://prometheus.test", NAMESPACE, "linkerd")
