"""Servers that a test has started as processes of their own."""

import subprocess
import time
from pathlib import Path

import httpx


def await_answer(server: "subprocess.Popen[bytes]", url: str, log: Path, seconds: float) -> None:
    """Return when the address answers 200; fail with what the server has said when it never does."""
    deadline = time.monotonic() + seconds
    while not _answers(url):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{url} does not answer:\n{log.read_text()}"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == 200
    except httpx.HTTPError:
        return False
