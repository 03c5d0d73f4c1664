"""A mesh for the tests: an API server, the stand-in for Seldon's operator, istiod, its gateway, and pods.

All of it lives in a network namespace of its own (`make test-istio`), where the pods' addresses are ours.
"""

import contextlib
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from releases.adapters.kubernetes_api import GATEWAY
from releases.domain.network import Callers
from tests.cluster.api import NAMESPACE, POD, until
from tests.cluster.conftest import TestCluster, cluster
from tests.istio.issuer import Issuer
from tests.istio.mesh import GATEWAY_ADDRESS, GATEWAY_PORT, Process, gateway, istiod
from tests.istio.pods import Pods
from tests.istio.served import HOST, ISTIO_GATEWAY, ISTIO_NAMESPACE, Served

__all__ = ["cluster"]  # the fixture

PATIENCE = 15.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.istio)


@dataclass
class Mesh:
    """What steers requests, what they reach, and a client at the gateway."""

    cluster: TestCluster
    pods: Pods
    issuer: Issuer
    stranger: Issuer  # calls itself like the issuer and has another key
    other_issuer: Issuer  # of another tenant
    processes: list[Process]
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            base_url=f"http://{GATEWAY_ADDRESS}:{GATEWAY_PORT}", timeout=5, trust_env=False
        )
    )

    def ask(self, path: str, headers: Mapping[str, str] | None = None, host: str = HOST) -> httpx.Response:
        """One inference request of a caller."""
        return self.client.post(
            f"{path}/infer", json={"inputs": []}, headers={"host": host, **(headers or {})}
        )

    def ask_often(self, times: int, path: str, headers: Mapping[str, str] | None = None) -> Counter[str]:
        """Predictor -> how many of so many requests reached it; every one of them has to be answered."""
        self.pods.forget()
        statuses = Counter(self.ask(path, headers).status_code for _ in range(times))
        assert statuses == {200: times}
        return self.pods.counts()

    def await_status(
        self, status: int, path: str, headers: Mapping[str, str] | None = None, host: str = HOST
    ) -> float:
        """Wait until the gateway answers so; returns how long that took."""
        began = time.monotonic()
        while (found := self.ask(path, headers, host)).status_code != status:
            assert time.monotonic() - began < PATIENCE, f"{found.status_code} {found.text[:300]}"
            time.sleep(0.02)
        return time.monotonic() - began

    def await_reached(self, path: str, predictor: str, headers: Mapping[str, str] | None = None) -> None:
        """Ask until a request has reached the predictor."""
        self.pods.forget()
        self._ask_until(lambda: self.pods.counts()[predictor] > 0, path, headers)

    def await_split(self, path: str, predictors: set[str], headers: Mapping[str, str] | None = None) -> None:
        """Ask until each of the predictors has been reached."""
        self.pods.forget()
        self._ask_until(lambda: set(self.pods.counts()) >= predictors, path, headers)

    def await_only(self, path: str, predictor: str) -> None:
        """Ask until twenty requests in a row have reached this predictor."""

        def only() -> bool:
            last = [seen.predictor for seen in self.pods.seen[-20:]]
            return last == [predictor] * 20

        self.pods.forget()
        self._ask_until(only, path, None)

    def await_copies(self, predictor: str, path: str) -> None:
        """Ask until copies of requests reach the predictor."""
        self.await_reached(path, predictor)

    def await_count(self, predictor: str, count: int) -> None:
        """Copies come a moment after the answer."""
        until(lambda: self.pods.counts()[predictor] == count, f"{count} requests at {predictor}")

    def pod_uids(self, namespace: str) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.cluster.api.list(POD, namespace)}

    @contextlib.contextmanager
    def load(self, path: str) -> Iterator[Counter[int]]:
        """Two clients ask as fast as they are answered; status -> how many."""
        statuses: Counter[int] = Counter()
        ending = threading.Event()

        def ask() -> None:
            while not ending.is_set():
                statuses[self.ask(path).status_code] += 1

        clients = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
        for client in clients:
            client.start()
        try:
            yield statuses
        finally:
            ending.set()
            for client in clients:
                client.join(10)

    def _ask_until(self, condition: Callable[[], bool], path: str, headers: Mapping[str, str] | None) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE:.0f} s; last: {self.pods.counts()}"
            self.ask(path, headers)


@pytest.fixture(scope="session")
def mesh(cluster: TestCluster) -> Iterator[Mesh]:
    """Started once; nothing is released yet."""
    with contextlib.ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="mlops-istio-")))
        _refuse_other_networks()
        cluster.api.create(NAMESPACE, {"metadata": {"name": ISTIO_NAMESPACE}})
        processes = [istiod(folder, cluster.admin)]
        ends.callback(processes[0].stop)
        server = {"port": {"number": GATEWAY_PORT, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
        cluster.api.create(
            GATEWAY,
            {
                "apiVersion": GATEWAY.api_version,
                "kind": GATEWAY.name,
                "metadata": {"name": ISTIO_GATEWAY.partition("/")[2], "namespace": ISTIO_NAMESPACE},
                "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
            },
            ISTIO_NAMESPACE,
        )
        processes.append(gateway(folder, ISTIO_NAMESPACE))
        ends.callback(processes[1].stop)
        pods = Pods(cluster.api)
        ends.callback(pods.start())
        names = ("https://issuer.example", "https://issuer.example", "https://other.example")
        issuers = [Issuer(name) for name in names]
        for issuer in issuers:
            ends.callback(issuer.start())
        yield Mesh(cluster, pods, *issuers, processes)


@contextlib.contextmanager
def environment(mesh: Mesh, tenant: str) -> Iterator[Served]:
    """A tenant's production. It goes with its policies at the gateway, which its namespace does not take
    along."""
    with mesh.cluster.namespace(tenant) as namespace:
        served = Served(mesh.cluster.admin, namespace, tenant)
        yield served
        served.tie(Callers())
        served.router.remove({served.route(one.model) for one in served.deployments.values()})
    if mesh.cluster.operator and mesh.cluster.operator.failure:
        raise mesh.cluster.operator.failure


@pytest.fixture
def acme(mesh: Mesh) -> Iterator[Served]:
    """Acme's production, with nothing in it."""
    with environment(mesh, "acme") as served:
        yield served


def _refuse_other_networks() -> None:
    """Pods' addresses belong to somebody else on any network but our own."""
    with socket.socket() as probe:
        try:
            probe.bind((GATEWAY_ADDRESS, 0))
        except OSError:
            pytest.fail("these tests need a network namespace of their own: run `make test-istio`")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    """A failure comes with what istiod and the gateway said."""
    report = yield
    found = getattr(item, "funcargs", {}).get("mesh")
    if report.failed and isinstance(found, Mesh):
        for process in found.processes:
            report.sections.append((process.log.name, process.last_words()))
    return report
