"""What every metric source promises of predictions: the fake, and a real model behind the real Envoy."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from pytest_django import Settings

from releases.adapters import factory
from releases.adapters.metrics.envoy import EnvoyMetrics, EnvoyMetricsConfig
from releases.adapters.metrics.local import LocalMetrics
from releases.adapters.metrics.model_servers import (
    LARGEST_ANSWER,
    MOST_VALUES,
    SILENT,
    PredictionCounts,
    Told,
)
from releases.adapters.router.envoy import EnvoyRouter, EnvoyRouterConfig
from releases.adapters.target.local import LocalTarget, LocalTargetConfig
from releases.domain.judge import BESIDE
from releases.domain.plan import TrafficSplit
from releases.domain.release import TargetState
from releases.domain.routing import Arm, Route, RouteSetting
from releases.ports import Counters, Deployment, MetricSource, Missing
from tests.adapters.engines import Gateway, Server, serving
from tests.adapters.model_servers import MODELS_PYTHON, SERVING, Daemon, running_daemon, train
from tests.fakes import FakeMetrics

REF = "wine-v1-0-0"
PATIENCE = 0.8
"""Seconds that a reading may take, whatever the model servers do."""


@dataclass
class Subject:
    """`ask` sends a request of so many rows through the gateway and gives the first prediction as it is
    to be counted; `ask_wrongly` one that the model refuses. While `silent`, the model server does not
    say what was predicted."""

    metrics: MetricSource
    ask: Callable[[float, int], str]
    ask_wrongly: Callable[[], None]
    restart_gateway: Callable[[], None]
    restart_model: Callable[[], None]
    silent: Callable[[], AbstractContextManager[None]]

    def predictions(self) -> Mapping[str, int]:
        seen = self.metrics.read([REF])[REF]
        assert isinstance(seen, Counters)
        return seen.predictions


def fake_metrics(request: pytest.FixtureRequest) -> Subject:
    metrics = FakeMetrics()
    metrics.deploy(REF)

    def ask(alcohol: float, rows: int) -> str:
        metrics.serve(REF, ok=1)
        metrics.predict(REF, {f"label:{alcohol > 13:d}": 1})
        return f"label:{alcohol > 13:d}"

    @contextmanager
    def silent() -> Iterator[None]:
        metrics.silent.add(REF)
        yield
        metrics.silent.remove(REF)

    return Subject(
        metrics,
        ask,
        partial(metrics.serve, REF, client_errors=1),
        metrics.restart,
        partial(metrics.restart_model, REF),
        silent,
    )


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running_daemon(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="module")
def target(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> LocalTarget:
    """With one model server."""
    artifact = tmp_path_factory.mktemp("trained") / "model"
    train(artifact)
    layout = daemon.layout
    ports = range(20_700, 20_760)
    local = LocalTarget(
        LocalTargetConfig(
            layout.supervisor_socket, layout.var, ports, MODELS_PYTHON, SERVING, layout.fork_server
        )
    )
    local.ensure(Deployment(REF, "acme", "production", "wine", "1.0.0", "d1", artifact))
    return local


def await_ready(target: LocalTarget) -> str:
    deadline = time.monotonic() + 60
    while (status := target.status([REF])[REF]).state is not TargetState.READY:
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    return status.address or ""


def local_metrics(request: pytest.FixtureRequest) -> Subject:
    target: LocalTarget = request.getfixturevalue("target")
    daemon: Daemon = request.getfixturevalue("daemon")
    envoy: Gateway = request.getfixturevalue("envoy")
    address, layout = await_ready(target), envoy.layout
    router = EnvoyRouter(EnvoyRouterConfig(str(layout.envoy_admin), layout.xds, envoy.url))
    setting = RouteSetting(TrafficSplit(0), Arm(REF, address), None)
    router.apply({Route("acme", "production", "wine"): setting})
    infer = f"{envoy.url}/acme/production/v2/models/wine/infer"

    def ask(alcohol: float, rows: int) -> str:
        column = {"shape": [rows, 1], "datatype": "FP64"}
        inputs = [
            {"name": "alcohol", "data": [alcohol + row for row in range(rows)], **column},
            {"name": "hue", "data": [1.0] * rows, **column},
        ]
        answer = envoy.client.post(infer, json={"parameters": {"content_type": "pd"}, "inputs": inputs})
        assert answer.status_code == 200, answer.text
        [output] = answer.json()["outputs"]
        assert len(output["data"]) == rows
        return f"label:{output['data'][0]}"

    def ask_wrongly() -> None:
        assert envoy.post("/acme/production/v2/models/wine/infer").status_code >= 400

    def pid() -> int:
        return int(daemon.supervisor.program(f"model-{REF}:model-{REF}")["pid"])

    def restart_gateway() -> None:
        envoy.stop()
        envoy.start()

    def restart_model() -> None:
        killed = pid()
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while pid() in (0, killed):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        await_ready(target)

    @contextmanager
    def silent() -> Iterator[None]:
        [stopped] = daemon.forked
        os.kill(stopped, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(stopped, signal.SIGCONT)

    return Subject(
        made_by_the_factory(request, daemon, str(layout.envoy_admin)),
        ask,
        ask_wrongly,
        restart_gateway,
        restart_model,
        silent,
    )


def made_by_the_factory(request: pytest.FixtureRequest, daemon: Daemon, admin: str) -> MetricSource:
    """With the way from a deployment to its metrics that only the factory knows."""
    settings: Settings = request.getfixturevalue("settings")
    settings.VAR, settings.SUPERVISOR_SOCKET = daemon.layout.var, daemon.layout.supervisor_socket
    settings.ENVOY_ADMIN = admin
    factory._local.cache_clear()
    request.addfinalizer(factory._local.cache_clear)
    return factory.ports("local").metrics


@pytest.fixture(params=[fake_metrics, pytest.param(local_metrics, marks=pytest.mark.stack)])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param(request)
    return made


def test_predictions_are_counted_by_value_one_per_request(subject: Subject) -> None:
    before = Counter(subject.predictions())
    asked = Counter(subject.ask(alcohol, 1) for alcohol in (11.5, 14.5, 11.6, 14.6, 11.7))
    asked[subject.ask(11.5, 4)] += 1
    assert sum(asked.values()) == 6
    assert len(asked) >= 2
    assert Counter(subject.predictions()) - before == asked


def test_predictions_of_requests_that_fail_are_not_counted(subject: Subject) -> None:
    before = subject.predictions()
    subject.ask_wrongly()
    assert subject.predictions() == before


def test_predictions_outlive_a_restart_of_the_gateway(subject: Subject) -> None:
    asked = subject.ask(14.5, 1)
    before = subject.predictions()
    subject.restart_gateway()
    assert subject.predictions() == before
    assert before[asked] >= 1


def test_predictions_of_a_server_that_hangs_are_empty_and_hold_nothing_up(subject: Subject) -> None:
    subject.ask(14.5, 1)
    before = subject.predictions()
    with subject.silent():
        started = time.monotonic()
        assert subject.predictions() == {}
        assert time.monotonic() - started < PATIENCE
    assert before[max(before, key=before.__getitem__)] > 0
    assert subject.predictions() == before


def test_predictions_after_a_restart_of_the_model_begin_at_zero_not_empty(subject: Subject) -> None:
    subject.ask(14.5, 1)
    subject.restart_model()
    begun = subject.predictions()
    assert begun != {}
    assert set(begun.values()) == {0}


@contextmanager
def metrics_page(content: bytes, status: int = 200, seconds: float = 0.0) -> Iterator[str]:
    """The address of a model server that shows this; with `seconds`, byte by byte at this pace."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            step = 1 if seconds else len(content)
            for start in range(0, len(content), step):
                time.sleep(seconds)
                self.wfile.write(content[start : start + step])

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at what is read."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                """The reader has had enough."""

    server = Server(("127.0.0.1", 0), Answering)
    with serving(server):
        yield f"127.0.0.1:{server.server_address[1]}"


def told(*addresses: str | None) -> list[Told]:
    """What the servers of deployments at these addresses tell."""
    known = {str(number): address for number, address in enumerate(addresses)}
    with PredictionCounts(known.get).asked(known) as answers:
        found = answers()
    return [found.get(ref, SILENT) for ref in known]


def read(*addresses: str | None) -> list[Mapping[str, int]]:
    """What they say of predictions."""
    return [one.predictions for one in told(*addresses)]


BESIDE_PAGE = b"""# HELP model_cache_hits_total Answers from the cache
model_cache_hits_total 12.0
model_cache_hits_created 1.7e+09
model_cache_misses_total{why="absent"} 3.0
model_cache_misses_total{why="redis"} 4.0
model_features_total{outcome="found"} 20.0
model_features_total{outcome="stale"} 2.0
model_features_total{outcome="lost in translation"} 9.0
model_member_failures_total{member="forest"} 1.0
model_member_failures_total{member="boost"} NaN
"""


def test_counts_beside_the_model_are_summed_over_labels_that_do_not_matter() -> None:
    with (
        metrics_page(BESIDE_PAGE + GOOD) as address,
        metrics_page(GOOD) as bare,
        metrics_page(b"", 500) as no,
    ):
        found, of_bare, silent = told(address, bare, no)
    assert found.beside == {
        **{"cache_hits": 12, "cache_misses": 7, "features_found": 20, "features_missing": 0},
        **{"features_stale": 2, "features_unreachable": 0, "member_failures": 1},
    }
    assert set(found.beside) == set(BESIDE)
    assert found.predictions == {'label:say "a:b"': 3}
    assert set(of_bare.beside.values()) == {0}  # it tells, and nothing counts there
    assert silent.beside == {}


GOOD = b'other_total 7\nmodel_predictions_total{kind="label",value="say \\"a:b\\""} 3.0\n'


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (GOOD, 500),
        (b"", 200),
        (b"# nothing here\nmodel_loads_total 4\n", 200),
        (b'model_predictions_total{kind="label" 3\n', 200),
        (b"model_predictions_total{,\r= _+}#+=},. }\r{{_.\t\r\t+\n", 200),
        (b'model_predictions_total{kind="label",value="a"} three\n', 200),
        (b'model_predictions_total{kind="label",value="a"} NaN\n', 200),
        (b'model_predictions_total{kind="label",value="a"} -1\n', 200),
        (b'model_predictions_total{kind="label",value="a"} 1e300\n', 200),
        (b'model_predictions_total{kind="label",value="a\0"} 3\n', 200),
        (b'model_predictions_total{kind="label",value="%s"} 3\n' % (b"a" * 1_000), 200),
        (b"".join(b'model_predictions_total{value="%d"} 1\n' % n for n in range(MOST_VALUES + 1)), 200),
        (b"\xff\xfe\n" + GOOD, 200),
        (b"#" * (LARGEST_ANSWER + 10) + b"\n" + GOOD, 200),
    ],
)
def test_predictions_of_a_page_that_says_none_are_empty(content: bytes, status: int) -> None:
    with metrics_page(content, status) as address, metrics_page(GOOD) as good:
        assert read(address, good) == [{}, {'label:say "a:b"': 3}]


def test_predictions_of_dead_slow_and_unknown_servers_leave_the_others_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"127.0.0.1:{closed.getsockname()[1]}"
    with metrics_page(GOOD * 99, seconds=0.02) as slow, metrics_page(GOOD) as good:
        started = time.monotonic()
        found = read(dead, None, *[slow] * 10, good)
        assert time.monotonic() - started < PATIENCE
    assert found == [{}] * 12 + [{'label:say "a:b"': 3}]


def test_predictions_do_not_make_counters_of_what_the_gateway_does_not_know(tmp_path: Path) -> None:
    nowhere = EnvoyMetrics(EnvoyMetricsConfig(str(tmp_path / "no.sock")))
    with metrics_page(GOOD) as good:
        metrics = LocalMetrics(nowhere, PredictionCounts({REF: good}.get))
        assert metrics.read([REF]) == {REF: Missing.UNREACHABLE}
