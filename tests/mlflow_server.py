"""A real MLflow server for a test run, and real models logged to it by the sample pipeline."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from mlops_portal.stack.ports import automatic
from tests.servers import await_answer

START_SECONDS = 150  # 12 on an idle machine


@dataclass(frozen=True)
class TrainedWines:
    """What `pipelines.wine` logged, by kind, and the file of inference requests it wrote."""

    logged: Mapping[str, Mapping[str, Any]]
    rows: Path


@contextmanager
def running_mlflow(folder: Path) -> Iterator[str]:
    """The address of a server whose database and artifacts are in `folder`."""
    port = automatic("127.0.0.1", None, set())
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(Path(sys.executable).parent / "mlflow"), "server", "--workers", "1"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # As the stack's own may: send messages to a portal on this machine, from the moment it is asked to.
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        await_answer(server, f"{url}/health", folder / "mlflow.log", START_SECONDS)
        yield url
    finally:
        os.killpg(server.pid, 9)
        server.wait(10)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="session")
def wines(mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> TrainedWines:
    """All kinds of the sample pipeline, trained once per test run."""
    rows = tmp_path_factory.mktemp("wine") / "rows.jsonl"
    ran = subprocess.run(
        [settings.MODELS_PYTHON / "python", "-m", "pipelines.wine", "--all", "--rows", rows],
        cwd=settings.BASE_DIR,
        env=os.environ | {"MLFLOW_TRACKING_URI": mlflow_server},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stderr
    logged = [json.loads(line) for line in ran.stdout.splitlines()]
    return TrainedWines({entry["kind"]: entry for entry in logged}, rows)
