"""What the metric source `executor` does when pods misbehave, come and go. Its contract is in
`test_metrics_contract.py`, a real API server in `tests/cluster`."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from mlops_portal.checks import check_pod_proxy
from releases.adapters.metrics.executor import (
    LARGEST_ANSWER,
    ExecutorMetrics,
    ExecutorMetricsConfig,
    counts,
)
from releases.adapters.metrics.seldon_pods import serving_pods
from releases.domain.judge import Totals, increment
from releases.ports import Counters, Missing
from tests.adapters.pods import NAMESPACE, Farm, farm
from tests.adapters.seldon_pages import SECONDS, ExecutorPage

REF, OTHER = "acme-production-wine-v1-4-0-9f3ac1d2", "acme-production-wine-v1-3-2-0b7d11aa"
PATIENCE = 1.5
OWN = (
    'seldon_api_executor_server_requests_seconds_{}{{service="predictions",method="post",code="200"{}}} {}\n'
)


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Farm]:
    with farm(tmp_path) as running:
        yield running


@pytest.fixture
def metrics(pods: Farm) -> ExecutorMetrics:
    return ExecutorMetrics(ExecutorMetricsConfig(NAMESPACE, pods.url, seconds=1.0), pods.cluster())


def counters(metrics: ExecutorMetrics, ref: str = REF) -> Counters:
    seen = metrics.read([ref])[ref]
    assert isinstance(seen, Counters), seen
    return seen


def totals(seen: Counters) -> Totals:
    return Totals(**{name: value for name, value in asdict(seen).items() if name != "predictions"})


def test_read_adds_up_the_pods_of_each_deployment(pods: Farm, metrics: ExecutorMetrics) -> None:
    first, second = pods.deploy(REF, pods=2)
    [other] = pods.deploy(OTHER)
    first.page.count("200", seconds=0.004)
    second.page.count("200", seconds=0.06)
    second.page.count("503", seconds=30.0)
    other.page.count("404")
    seen = metrics.read([REF, OTHER])
    ours, others = seen[REF], seen[OTHER]
    assert isinstance(ours, Counters)
    assert isinstance(others, Counters)
    assert (ours.ok, ours.client_errors, ours.errors) == (2, 0, 1)
    assert (others.ok, others.client_errors, others.errors) == (0, 1, 0)
    assert ours.bounds_ms == (5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
    assert ours.latency_ms == (1, 0, 0, 0, 1, *[0] * 9, 1)
    assert ours.at == others.at


def test_read_counts_predictions_over_rest_and_grpc_and_nothing_else(
    pods: Farm, metrics: ExecutorMetrics
) -> None:
    [pod] = pods.deploy(REF)
    page = pod.page
    assert isinstance(page, ExecutorPage)
    page.count("200")
    for word in ("OK", "InvalidArgument", "Unavailable", "Internal"):
        page.count(word, service="/inference.GRPCInferenceService/ModelInfer", method="unary")
    page.count("200", service="status", method="get")
    page.count("200", service="metadata", method="get")
    page.count("OK", service="/inference.GRPCInferenceService/ModelReady", method="unary")
    page.count("200", method="options")
    seen = counters(metrics)
    assert (seen.ok, seen.client_errors, seen.errors, sum(seen.latency_ms)) == (2, 1, 2, 5)


SPOILED = [
    b"",  # with status 500, below
    b"<html>not found</html>",
    OWN.format("count", "", "three").encode(),
    OWN.format("count", "", "NaN").encode(),
    OWN.format("count", "", "+Inf").encode(),
    OWN.format("count", "", "-1").encode(),
    OWN.format("count", "", "1.5").encode(),
    OWN.format("count", "", "1e300").encode(),
    OWN.format("bucket", ',le="wide"', "1").encode(),
    OWN.format("bucket", ',le="NaN"', "1").encode(),
    OWN.format("bucket", "", "1").encode(),
    (OWN.format("bucket", ',le="1"', "5") + OWN.format("bucket", ',le="+Inf"', "4")).encode(),
    OWN.format("count", "", "3").encode()[:-20] + b"\n",
    b"seldon_api_executor_server_requests_seconds_count{,\r= _+}#+=},. }\r{{_.\t\r\t+} 1\n",
    b"\xff\xfe" + OWN.format("count", "", "3").encode(),
    b"#" * (LARGEST_ANSWER + 10) + b"\n" + OWN.format("count", "", "3").encode(),
]


@pytest.mark.parametrize("content", SPOILED)
def test_read_of_a_ready_pod_with_a_spoiled_page_is_unreachable_for_its_deployment_alone(
    pods: Farm, metrics: ExecutorMetrics, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = pods.deploy(REF, pods=2)
    [other] = pods.deploy(OTHER)
    good.page.count("200")
    other.page.count("200")
    bad.content, bad.status = content, 200 if content and not content.startswith(b"<") else 500
    seen = metrics.read([REF, OTHER])
    assert seen[REF] is Missing.UNREACHABLE
    assert isinstance(seen[OTHER], Counters)
    assert f"1 of its 2 pods do not say what they have counted, {bad.name} among them" in caplog.text


def test_read_waits_for_no_pod_that_hangs(pods: Farm, metrics: ExecutorMetrics) -> None:
    for pod in pods.deploy(REF, pods=5):
        pod.delay = 5
    pods.deploy(OTHER, pods=5)
    started = time.monotonic()
    seen = metrics.read([REF, OTHER])
    assert time.monotonic() - started < PATIENCE
    assert seen[REF] is Missing.UNREACHABLE
    assert isinstance(seen[OTHER], Counters)


def test_read_does_without_a_silent_pod_that_gets_no_requests(pods: Farm, metrics: ExecutorMetrics) -> None:
    good, starting = pods.deploy(REF, pods=2)
    good.page.count("200")
    starting.is_ready, starting.status = False, 503
    assert counters(metrics).ok == 1


def test_read_counts_what_a_pod_that_is_not_ready_any_more_still_says(
    pods: Farm, metrics: ExecutorMetrics
) -> None:
    good, failing = pods.deploy(REF, pods=2)
    good.page.count("200")
    failing.page.count("500")
    before = counters(metrics)
    failing.is_ready = False
    failing.page.count("500")
    step = increment(totals(before), totals(counters(metrics)))
    assert step is not None
    assert (step.requests, step.errors) == (1, 1)


def test_read_of_a_deployment_without_pods_is_no_data(pods: Farm, metrics: ExecutorMetrics) -> None:
    pods.deploy(REF, pods=0)
    [starting] = pods.deploy(OTHER)
    starting.is_ready, starting.status = False, 503
    assert metrics.read([REF, OTHER, "never-heard-of"]) == {
        REF: Missing.NO_DATA,
        OTHER: Missing.NO_DATA,
        "never-heard-of": Missing.NO_DATA,
    }


def test_read_after_a_pod_has_gone_cannot_be_compared_and_then_can(
    pods: Farm, metrics: ExecutorMetrics
) -> None:
    going, staying = pods.deploy(REF, pods=2)
    for _ in range(5):
        going.page.count("200")
        staying.page.count("200")
    before = counters(metrics)
    pods.remove(going)
    staying.page.count("200")
    after = counters(metrics)
    assert (before.ok, after.ok) == (10, 6)
    assert increment(totals(before), totals(after)) is None
    staying.page.count("500")
    step = increment(totals(after), totals(counters(metrics)))
    assert step is not None
    assert (step.requests, step.errors, step.continuous) == (1, 1, True)


def test_read_after_a_restart_hidden_by_other_pods_cannot_be_compared(
    pods: Farm, metrics: ExecutorMetrics
) -> None:
    restarting, busy = pods.deploy(REF, pods=2)
    restarting.page.count("200")
    before = counters(metrics)
    pods.restart(restarting)
    for _ in range(3):
        busy.page.count("200")
    after = counters(metrics)
    assert after.ok > before.ok
    assert increment(totals(before), totals(after)) is None


def test_pods_of_a_deployment_with_their_addresses_in_ipv4_and_ipv6(pods: Farm) -> None:
    first, second = pods.deploy(REF, pods=2)
    first.ip, second.ip = "10.7.0.4", "fd00::7"
    found = serving_pods(pods.cluster(), NAMESPACE, [REF])[REF]
    assert [pod.address for pod in found] == ["10.7.0.4:8000", "[fd00::7]:8000"]


def test_read_while_the_api_server_is_away_is_unreachable_and_said(
    pods: Farm, metrics: ExecutorMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    pods.deploy(REF)
    pods.is_up = False
    assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}
    assert f"the pods of {NAMESPACE} cannot be found: the cluster farm does not answer" in caplog.text
    pods.is_up = True
    assert counters(metrics).ok == 0


def test_read_asks_the_api_server_twice_whatever_the_number_of_deployments(
    pods: Farm, metrics: ExecutorMetrics
) -> None:
    refs = [f"ref-{number}" for number in range(10)]
    for ref in refs:
        pods.deploy(ref)
    assert all(isinstance(seen, Counters) for seen in metrics.read(refs).values())
    assert pods.lists == 2


@given(st.text(alphabet='{}"=,+-. \n\\01le_N', max_size=60))
def test_counts_of_any_text_are_counts_or_a_value_error(rest: str) -> None:
    try:
        found = counts(f"seldon_api_executor_server_requests_seconds_count{{{rest}")
    except ValueError:
        return
    assert all(value >= 0 for value in found.outcomes.values())


def test_counts_are_not_led_astray_by_what_stands_in_labels() -> None:
    evil = r'service="predictions\",code=\"200",method="post",code="500"'
    name = "seldon_api_executor_server_requests_seconds_count"
    found = counts(f'{name}{{{evil}}} 7\n{name}{{service="predictions",code="2\\n00"}} 3\n')
    assert found.outcomes == {"errors": 3}


def test_bounds_of_a_page_are_those_of_the_executor() -> None:
    page = ExecutorPage("v1-4-0")
    page.count("200")
    found = counts(page.text().decode())
    assert sorted(found.at_most)[:-1] == list(SECONDS)
    assert found.began == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("proxy", "is_right"),
    [("", True), ("http://127.0.0.1:3128", True), ("127.0.0.1:3128", False), ("socks5://x:1", False)],
)
def test_setting_of_the_proxy_to_the_pods_is_checked(settings: Settings, proxy: str, is_right: bool) -> None:
    settings.KUBERNETES_POD_PROXY = proxy
    assert [error.id for error in check_pod_proxy()] == ([] if is_right else ["mlops_portal.E005"])
