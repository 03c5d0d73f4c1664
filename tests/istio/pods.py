"""Something that listens on the pods' addresses: kwok gives pods addresses and nobody answers there.

One server for all of them, on the port of Seldon's executor; which pod was meant it knows by the address that
a connection came to. It speaks V2 and counts in the executor's own series.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from releases.adapters.kubernetes_api import POD
from tests.cluster.api import Api

EXECUTOR_PORT = 8000
SERIES = "seldon_api_executor_server_requests_seconds"
LABELS = ("deployment_name", "predictor_name", "service", "method", "code")


@dataclass(frozen=True)
class Seen:
    """A request as a pod got it; `headers` in lower case."""

    predictor: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Pods:
    """`failing`: predictor -> the status that it answers with."""

    api: Api
    failing: dict[str, int] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    _owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    _registries: dict[str, tuple[CollectorRegistry, Histogram]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> Callable[[], None]:
        """Begin to listen; returns what ends it."""
        server = Server(("0.0.0.0", EXECUTOR_PORT), _handler(self))  # noqa: S104 - the network is our own
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(5)

        return stop

    def counts(self) -> Counter[str]:
        """Predictor -> requests since `forget`."""
        return Counter(seen.predictor for seen in self.seen)

    def forget(self) -> None:
        """Addresses, too: kwok gives those of pods that are gone to others."""
        self._owners = {}
        self.seen.clear()

    def owner(self, address: str) -> tuple[str, str]:
        """SeldonDeployment and predictor of the pod with this address."""
        if address not in self._owners:
            for pod in self.api.list(POD, labels="seldon-deployment-id"):
                has, ip = pod["metadata"]["labels"], pod.get("status", {}).get("podIP")
                if ip and not pod["metadata"].get("deletionTimestamp"):
                    self._owners[ip] = (has["seldon-deployment-id"], has["version"])
        return self._owners.get(address, ("", ""))

    def answer(self, address: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of an inference."""
        began = time.perf_counter()
        deployment, predictor = self.owner(address)
        self.seen.append(Seen(predictor, path, headers))
        status = self.failing.get(predictor, 200)
        output = {"name": "output-1", "datatype": "INT64", "shape": [1, 1], "data": [1]}
        body = {"model_name": "model", "outputs": [output]}
        with self._lock:
            _, histogram = self._registry(address)
            labels = (deployment, predictor, "predictions", "post", str(status))
            histogram.labels(*labels).observe(time.perf_counter() - began)
        return status, json.dumps(body if status == 200 else {"error": "the model failed"}).encode()

    def exposition(self, address: str) -> bytes:
        """The pod's `/prometheus`."""
        with self._lock:
            return generate_latest(self._registry(address)[0])

    def _registry(self, address: str) -> tuple[CollectorRegistry, Histogram]:
        if address not in self._registries:
            registry = CollectorRegistry()
            histogram = Histogram(SERIES, "A histogram of latencies.", LABELS, registry=registry)
            self._registries[address] = (registry, histogram)
        return self._registries[address]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(pods: Pods) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._send(200, pods.exposition(self.connection.getsockname()[0]))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(*pods.answer(self.connection.getsockname()[0], self.path, headers))

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at what was seen."""

    return Answering
