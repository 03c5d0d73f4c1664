"""A real HTTP server in front of the portal that does what networks do: go away, come back, lose answers."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Answer = tuple[int, dict[str, str], bytes]


class Front:
    """Forwards to `upstream` while it is open, always on the same port. What went through is in `requests`,
    what was filed in `filed`, its idempotency keys in `keys`.

    `answer_instead`: asked with method and path before anything is forwarded, may answer itself. `lose`:
    asked after the portal has answered; the connection is cut without a word where it says so.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.requests: list[str] = []
        self.keys: list[str] = []
        self.filed: list[dict[str, Any]] = []
        self.answer_instead: Callable[[str], Answer | None] = lambda line: None
        self.lose: Callable[[str], bool] = lambda line: False
        self._open_sockets: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.open()

    @property
    def url(self) -> str:
        """The same for as long as it lives."""
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen, on the port of the first time."""
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                front._open_sockets.add(self.connection)

            def do_GET(self) -> None:
                front._forward(self)

            do_POST = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and cut every connection: answers that are waited for never come."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self._open_sockets):
            cut(connection)
        self._open_sockets.clear()

    def _forward(self, handler: BaseHTTPRequestHandler) -> None:
        line = f"{handler.command} {handler.path}"
        self.requests.append(line)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if "Idempotency-Key" in handler.headers:
            self.keys.append(handler.headers["Idempotency-Key"])
            self.filed.append(json.loads(body))
        answer = self.answer_instead(line)
        if answer is None:
            passed = {name: value for name, value in handler.headers.items() if name.lower() not in DROPPED}
            got = httpx.request(
                handler.command, self.upstream + handler.path, content=body, headers=passed, timeout=90
            )
            answer = (got.status_code, dict(got.headers), got.content)
        if self.lose(line):
            cut(handler.connection)
            handler.close_connection = True
            return
        try:
            handler.send_response(answer[0])
            for name, value in answer[1].items():
                if name.lower() not in DROPPED:
                    handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer[2])))
            handler.end_headers()
            handler.wfile.write(answer[2])
        except OSError:  # cut while the portal was thinking
            handler.close_connection = True


DROPPED = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "date", "server"}
)


def cut(connection: socket.socket) -> None:
    """End a connection at once."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
