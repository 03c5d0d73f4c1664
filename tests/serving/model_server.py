"""A real MLServer with our runtime, for models that lie on disk."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from mlops_portal.stack.ports import automatic

START_SECONDS = 150


@dataclass(frozen=True)
class ModelServer:
    """A running server; `log` is what it wrote."""

    client: httpx.Client
    metrics_url: str
    log: Path
    pid: int

    def infer(self, model: str, frame: pd.DataFrame, **parameters: Any) -> httpx.Response:
        """One request with these parameters, a column per input, as callers send it."""
        inputs = [
            {"name": name, "datatype": "FP64", "shape": [len(frame), 1], "data": frame[name].tolist()}
            for name in frame.columns
        ]
        body = {"parameters": {"content_type": "pd", **parameters}, "inputs": inputs}
        return self.client.post(f"/models/{model}/infer", json=body)

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of a series on the metrics endpoint, None when it is not there."""
        page = httpx.get(self.metrics_url, timeout=10).text
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None


@contextmanager
def serving_models(
    folder: Path, models: Mapping[str, Path], environment: Mapping[str, str] | None = None
) -> Iterator[ModelServer]:
    """A server of these models; `environment` is added to its own."""
    written: dict[str, Any] = {"host": "127.0.0.1", "parallel_workers": 0, "metrics_endpoint": "/metrics"}
    taken: set[int] = set()
    for name in ("http_port", "grpc_port", "metrics_port"):
        written[name] = automatic("127.0.0.1", None, taken)
        taken.add(written[name])
    (folder / "settings.json").write_text(json.dumps(written))
    for name, path in models.items():
        (folder / name).mkdir()
        described = {
            "name": name,
            "implementation": "serving.runtime.CountingRuntime",
            "parameters": {"uri": str(path)},
        }
        (folder / name / "model-settings.json").write_text(json.dumps(described))
    base = f"http://127.0.0.1:{written['http_port']}/v2"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [settings.MODELS_PYTHON / "mlserver", "start", folder],
            cwd=settings.BASE_DIR,  # where `serving` is
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(settings.BASE_DIR),
                **(environment or {}),
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _are_ready(base, models):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        # No connection is kept: MLServer closes it after a 500.
        unkept = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=base, timeout=30, limits=unkept) as client:
            metrics = f"http://127.0.0.1:{written['metrics_port']}/metrics"
            yield ModelServer(client, metrics, folder / "log", server.pid)
    finally:
        with suppress(ProcessLookupError):  # it did not start, which the test says
            os.killpg(server.pid, 9)
        server.wait(10)


def _are_ready(base: str, models: Iterable[str]) -> bool:
    """Of each model: the server as a whole is ready, too, while it knows of no model yet."""
    try:
        return all(httpx.get(f"{base}/models/{name}/ready", timeout=1).status_code == 200 for name in models)
    except httpx.HTTPError:
        return False
