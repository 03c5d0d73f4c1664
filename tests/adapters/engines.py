"""Real engines for the contract suites: an Envoy of its own, and small models behind it.

A model here is an HTTP server on loopback that speaks just enough of the V2 protocol; what it answers
is said by headers of the request, so that a test can make it fail or dawdle.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from mlops_portal.stack import gateway
from mlops_portal.stack.layout import Layout, layout_of
from mlops_portal.stack.ports import automatic

STATUS, DELAY = "x-answer-status", "x-answer-after"


@dataclass
class Model:
    """A running model server; `paths` and `headers` (names in lower case) are those of the requests that
    reached it."""

    name: str
    server: ThreadingHTTPServer
    paths: list[str] = field(default_factory=list)
    headers: list[list[tuple[str, str]]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def model(name: str, content: bytes | None = None) -> Iterator[Model]:
    """A model server that names itself in its answers, or answers with `content`."""

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            running.paths.append(self.path)
            running.headers.append([(name.lower(), value) for name, value in self.headers.items()])
            time.sleep(float(self.headers.get(DELAY, 0)))
            named = json.dumps({"model_name": name, "outputs": []}).encode()
            body = named if content is None else content
            self.send_response(int(self.headers.get(STATUS, 200)))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at the answers."""

    running = Model(name, Server(("127.0.0.1", 0), Answering))
    with serving(running.server):
        yield running


class Server(ThreadingHTTPServer):
    """A request that dawdles must not keep the test run alive."""

    daemon_threads = True


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """The server answers in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Receiver:
    """Someone's callback address; `received` holds headers (lower case) and body of each delivery."""

    server: ThreadingHTTPServer
    status: int = 204
    location: str | None = None
    retry_after: str | None = None
    delay: float = 0.0
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks that answers as its attributes say."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            running.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(running.delay)
            self.send_response(running.status)
            for name, value in (("location", running.location), ("retry-after", running.retry_after)):
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at what was received."""

    running = Receiver(Server(("127.0.0.1", 0), Answering))
    with serving(running.server):
        yield running


@dataclass
class Gateway:
    """An Envoy with the stack's own bootstrap; `start` and `stop` may be repeated."""

    layout: Layout
    port: int
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            timeout=10, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        gateway.prepare(self.layout, "127.0.0.1", self.port)
        with (self.layout.log / "envoy.log").open("ab") as log:
            self.process = subprocess.Popen(gateway.program(self.layout).command, stderr=log)
        deadline = time.monotonic() + 20
        while not gateway.answers(self.layout, self.url):
            assert self.process.poll() is None, (self.layout.log / "envoy.log").read_text()
            assert time.monotonic() < deadline, "Envoy does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """As a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def post(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One inference request by a client."""
        return self.client.post(self.url + path, json={"inputs": []}, headers=headers)


@contextmanager
def running_gateway(var: Path) -> Iterator[Gateway]:
    """An Envoy whose files are in `var`."""
    layout = layout_of(var)
    layout.prepare()
    envoy = Gateway(layout, automatic("127.0.0.1", None, set()))
    try:
        envoy.start()
        yield envoy
    finally:
        envoy.stop()
