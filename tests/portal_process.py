"""The portal's own web process, as production runs it, on the database of a test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from mlops_portal.stack.ports import automatic
from tests.servers import await_answer

START_SECONDS = 60  # 3 on an idle machine


@dataclass(frozen=True)
class PortalProcess:
    """One process of uvicorn, without a supervisor above it."""

    url: str
    pid: int

    @property
    def threads(self) -> int:
        """How many threads it has now."""
        return len(os.listdir(f"/proc/{self.pid}/task"))


@contextmanager
def running_portal(folder: Path, pool: int, **environment: str) -> Iterator[PortalProcess]:
    """A web process with at most `pool` connections to the database of this test."""
    port = automatic("127.0.0.1", None, set())
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(Path(sys.executable).parent / "uvicorn"), "mlops_portal.asgi:application"),
        *("--host", "127.0.0.1", "--port", str(port), "--lifespan", "off", "--no-access-log"),
        *("--timeout-graceful-shutdown", "1"),
    ]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"])
    given = {
        "PORTAL_VAR": str(folder),
        "PORTAL_SECRET_KEY": settings.SECRET_KEY,
        "PORTAL_URL": url,
        "DATABASE_URL": database.geturl(),
        "DATABASE_POOL_SIZE": str(pool),
        "REDIS_URL": settings.REDIS_URL,
        **environment,
    }
    with (folder / "web.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=os.environ | given, stdout=log, stderr=log
        )
    try:
        await_answer(server, f"{url}/healthz", folder / "web.log", START_SECONDS)
        yield PortalProcess(url, server.pid)
    finally:
        server.terminate()
        server.wait(15)
