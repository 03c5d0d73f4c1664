"""A mesh for the tests: an API server, the stand-in for Seldon's operator, istiod, its gateway, and pods.

All of it lives in a network namespace of its own (`make test-istio`), where the pods' addresses are ours.
"""

import contextlib
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from releases.adapters.kubernetes_api import GATEWAY
from tests.cluster.api import NAMESPACE
from tests.cluster.conftest import TestCluster, cluster
from tests.istio.issuer import Issuer
from tests.istio.mesh import GATEWAY_ADDRESS, GATEWAY_PORT, Process, gateway, istiod
from tests.istio.pods import Pods

__all__ = ["cluster"]  # the fixture

HOST = "models.example"
ISTIO_NAMESPACE = "istio-system"
ISTIO_GATEWAY = f"{ISTIO_NAMESPACE}/seldon-gateway"


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
    processes: list[Process]
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            base_url=f"http://{GATEWAY_ADDRESS}:{GATEWAY_PORT}", timeout=5, trust_env=False
        )
    )

    def ask(self, path: str, headers: Mapping[str, str] | None = None, host: str = HOST) -> httpx.Response:
        """One inference request of a caller."""
        return self.client.post(f"{path}/infer", json={"inputs": []}, headers={"host": host, **(headers or {})})

    def ask_often(self, times: int, path: str, headers: Mapping[str, str] | None = None) -> Counter[str]:
        """Predictor -> how many of so many requests reached it; every one of them has to be answered."""
        self.pods.forget()
        statuses = Counter(self.ask(path, headers).status_code for _ in range(times))
        assert statuses == {200: times}
        return self.pods.counts()

    def await_status(self, status: int, path: str, headers: Mapping[str, str] | None = None) -> float:
        """Wait until the gateway answers so; returns how long that took."""
        began = time.monotonic()
        while (found := self.ask(path, headers)).status_code != status:
            assert time.monotonic() - began < 15, f"{found.status_code} {found.text[:300]}"
            time.sleep(0.02)
        return time.monotonic() - began


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
        issuer, stranger = (Issuer("https://issuer.example") for _ in range(2))
        ends.callback(issuer.start())
        ends.callback(stranger.start())
        yield Mesh(cluster, pods, issuer, stranger, processes)


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
