"""A real S3 server for tests: versitygw, one process that keeps its objects as files below a folder.

`make test-cluster` builds the program; see the Makefile for its version.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from django.conf import settings

PROGRAM = settings.BASE_DIR / "var" / "cluster" / "versitygw"
KEY, SECRET = "portal-key", "portal-secret"
PATIENCE = 20.0


@dataclass(frozen=True)
class S3Server:
    """Where it listens, and the folder in which every bucket is a folder."""

    endpoint: str
    folder: Path
    pid: int

    @property
    def environment(self) -> Mapping[str, str]:
        """The portal's credentials, as boto3 finds them."""
        return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    @property
    def secret(self) -> Mapping[str, str]:
        """What the Kubernetes secret of the models' pods says: the configuration of rclone, the program in
        Seldon's storage initialiser, for its remote `s3`."""
        return {
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Other",
            "RCLONE_CONFIG_S3_ENV_AUTH": "false",
            "RCLONE_CONFIG_S3_ACCESS_KEY_ID": KEY,
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": SECRET,
            "RCLONE_CONFIG_S3_ENDPOINT": self.endpoint,
        }

    def stop(self) -> None:
        """The process stands still: it takes connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    """A server with no bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    data = folder / "buckets"
    data.mkdir(parents=True)
    (folder / "people").mkdir()
    command = [str(PROGRAM), "--quiet", "--port", address, "--access", KEY, "--secret", SECRET]
    # What belongs to an object are extended attributes of its file.
    command += ["--iam-dir", str(folder / "people"), "posix", str(data)]
    with (folder / "s3.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(f"http://{address}", folder / "s3.log", process)
            yield S3Server(f"http://{address}", data, process.pid)
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests; each makes buckets of its own."""
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


def _wait(endpoint: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            httpx.get(endpoint, timeout=1, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the S3 server does not start: {log.read_text()[-500:]}")
