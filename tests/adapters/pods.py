"""Pods of Seldon's predictors that nobody has to schedule, for the suites of the metric sources.

One HTTP server plays the API server (it lists SeldonDeployments and EndpointSlices), the proxy that leads to
the pods, and the targets that a real Prometheus scrapes. A real API server is asked in `tests/cluster`.
"""

import json
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from mlops_portal.stack.ports import automatic
from releases.adapters.kubernetes_api import ENDPOINT_SLICE, SELDON_DEPLOYMENT, Cluster, ClusterConfig
from tests.adapters.seldon_pages import ExecutorPage, Page
from tests.cluster.serving import LoopbackServer, Reply, Request

NAMESPACE = "acme-production"
SLOTS = [f"wine-{number}" for number in range(12)]  # pods that Prometheus asks for before they are there
INTERVAL = 0.25
WITHOUT_PROMETHEUS = "needs a Prometheus (Debian: apt-get install prometheus)"


@dataclass
class Pod:
    """`content`, `status` and `delay` are for a page that is not as it should be."""

    name: str
    ip: str
    predictor: str
    page: Page
    is_ready: bool = True
    content: bytes | None = None
    status: int = 200
    delay: float = 0.0
    scraped: int = 0  # by Prometheus


@dataclass
class Farm:
    """All pods of one namespace. `is_up`: whether the API server answers."""

    folder: Path
    make_page: Callable[[str], Page] = ExecutorPage
    refs: dict[str, str] = field(default_factory=dict)  # predictor -> ref
    pods: list[Pod] = field(default_factory=list)
    is_up: bool = True
    lists: int = 0  # how often the API server was asked

    def __post_init__(self) -> None:
        self.server = LoopbackServer("pods", self._answer)
        self._free = list(SLOTS)
        self._ips = iter(range(2, 65_000))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def cluster(self) -> Cluster:
        """A client of this API server."""
        kubeconfig = self.folder / "kubeconfig"
        content = {
            "current-context": "farm",
            "clusters": [{"name": "farm", "cluster": {"server": self.url}}],
            "contexts": [{"name": "farm", "context": {"cluster": "farm", "user": "nobody"}}],
            "users": [{"name": "nobody", "user": {}}],
        }
        kubeconfig.write_text(yaml.safe_dump(content))
        return Cluster(ClusterConfig("farm", str(kubeconfig)))

    def deploy(self, ref: str, pods: int = 1) -> list[Pod]:
        """A predictor with so many pods, each of which begins to count."""
        predictor = f"v{len(self.refs)}"
        self.refs[predictor] = ref
        return [self.add(ref) for _ in range(pods)]

    def add(self, ref: str, name: str | None = None) -> Pod:
        """One more pod of a deployment."""
        predictor = next(known for known, of in self.refs.items() if of == ref)
        number = next(self._ips)
        ip = f"10.7.{number // 250}.{number % 250 + 1}"
        pod = Pod(name or self._free.pop(0), ip, predictor, self.make_page(predictor))
        self.pods.append(pod)
        return pod

    def remove(self, pod: Pod) -> None:
        self.pods.remove(pod)

    def restart(self, pod: Pod) -> None:
        """Its process begins anew."""
        pod.page = self.make_page(pod.predictor)

    def of(self, ref: str) -> list[Pod]:
        return [pod for pod in self.pods if self.refs[pod.predictor] == ref]

    def clear(self) -> None:
        """Nothing is deployed."""
        self._free += [pod.name for pod in self.pods if pod.name in SLOTS]
        self.refs, self.pods, self.is_up = {}, [], True

    def await_scrapes(self) -> None:
        """Returns when Prometheus has seen every pod as it is now: when the second scrape from now on begins,
        the first is in its data; of two jobs."""
        wanted = [(pod, pod.scraped + 6) for pod in self.pods if pod.name in SLOTS]
        deadline = time.monotonic() + 20
        while any(pod.scraped < times for pod, times in wanted):
            assert time.monotonic() < deadline, "Prometheus does not scrape"
            time.sleep(0.02)

    def _answer(self, request: Request) -> Reply:
        asked = urlsplit(request.target)
        if asked.scheme:
            found = [pod for pod in self.pods if (pod.ip, asked.port) == (asked.hostname, 8000)]
            return _page(found[0]) if found and asked.path == "/prometheus" else Reply(504, b"no route")
        if asked.path.startswith("/pods/"):
            scraped = [pod for pod in self.pods if asked.path == f"/pods/{pod.name}"]
            for pod in scraped:
                pod.scraped += 1
            return _page(scraped[0]) if scraped else Reply(503, b"no such pod")
        self.lists += 1
        lists = {
            SELDON_DEPLOYMENT.path(NAMESPACE): self._seldon_deployments,
            ENDPOINT_SLICE.path(NAMESPACE): self._slices,
        }
        if not self.is_up or asked.path not in lists:
            return Reply(503 if not self.is_up else 404, b"{}")
        return Reply(200, json.dumps({"items": lists[asked.path]()}).encode())

    def _seldon_deployments(self) -> list[dict[str, Any]]:
        predictors = [
            {"name": name, "labels": {"mlops-portal.io/ref": ref}} for name, ref in self.refs.items()
        ]
        return [{"metadata": {"name": "wine"}, "spec": {"predictors": predictors}}]

    def _slices(self) -> list[dict[str, Any]]:
        by_predictor: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            by_predictor[pod.predictor].append(pod)
        return [
            {
                "metadata": {"labels": {"kubernetes.io/service-name": f"wine-{predictor}"}},
                "ports": [{"name": "grpc", "port": 5001}, {"name": "http", "port": 8000}],
                "endpoints": [_endpoint(pod) for pod in pods],
            }
            for predictor, pods in by_predictor.items()
        ]


def _endpoint(pod: Pod) -> dict[str, Any]:
    return {
        "addresses": [pod.ip],
        "conditions": {"ready": pod.is_ready},
        "targetRef": {"kind": "Pod", "name": pod.name, "uid": f"uid-of-{pod.ip}"},
    }


def _page(pod: Pod) -> Reply:
    time.sleep(pod.delay)
    body = pod.page.text() if pod.content is None else pod.content
    return Reply(pod.status, body, "text/plain; version=0.0.4; charset=utf-8")


@contextmanager
def farm(folder: Path, make_page: Callable[[str], Page] = ExecutorPage) -> Iterator[Farm]:
    """A farm without pods."""
    made = Farm(folder, make_page)
    try:
        yield made
    finally:
        made.server.stop()


class Prometheus:
    """A real one that scrapes the pods of a farm; `start` and `stop` may be repeated, its data stays."""

    def __init__(self, folder: Path, of: Farm, jobs: int = 1) -> None:
        self._folder = folder
        self._port = automatic("127.0.0.1", None, set())
        self._process: subprocess.Popen[bytes] | None = None
        address = f"127.0.0.1:{of.server.port}"
        # In one pod there is something else, which never answers.
        targets = [_target(address, SLOTS[0], 6000, "/nothing")]
        targets += [_target(address, name, 8000, f"/pods/{name}") for name in SLOTS]
        every = f"{INTERVAL * 1000:.0f}ms"
        self._jobs: list[dict[str, Any]] = [
            {
                "job_name": f"seldon-{number}",
                "scrape_interval": every,
                "scrape_timeout": every,
                "static_configs": targets,
            }
            for number in range(jobs)
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self, *, scraping: bool = True) -> None:
        if self._process:
            return
        configuration = {"scrape_configs": self._jobs if scraping else []}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._is_ready():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "Prometheus does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


def _target(address: str, pod: str, port: int, path: str) -> dict[str, Any]:
    labels = {"namespace": NAMESPACE, "pod": pod, "instance": f"{pod}:{port}", "__metrics_path__": path}
    return {"targets": [address], "labels": labels}


@contextmanager
def prometheus(folder: Path, of: Farm, jobs: int = 1) -> Iterator[Prometheus]:
    """A Prometheus that runs; the test is skipped where there is none."""
    if shutil.which("prometheus") is None:
        pytest.skip(WITHOUT_PROMETHEUS)
    made = Prometheus(folder, of, jobs)
    try:
        made.start()
        yield made
    finally:
        made.stop()
