"""The sample pipeline on real engines: what it logs is as good, or as bad, as it says."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from mlops_portal.stack.ports import automatic
from releases.adapters.probe.subprocess import SubprocessProbe, SubprocessProbeConfig
from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry
from releases.domain.compatibility import compare
from releases.domain.version import Change
from releases.services.pickle_scan import scan
from tests.mlflow_server import TrainedWines
from tests.servers import await_answer

# The first test waits for the engines to start and the models to be trained.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
START_SECONDS = 150


@pytest.fixture(scope="module")
def signatures(mlflow_server: str, wines: TrainedWines) -> Mapping[str, Any]:
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    return {
        kind: registry.register(f"wine-{kind}", logged["run_id"], logged["artifact_path"], {}, "").signature
        for kind, logged in wines.logged.items()
    }


@pytest.fixture(scope="module")
def artifacts(mlflow_server: str, signatures: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models `better` and `faulty`, downloaded, a folder each."""
    folder = tmp_path_factory.mktemp("artifacts")
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    for kind in ("better", "faulty"):
        (folder / kind).mkdir()
        registry.download(f"wine-{kind}", 1, folder / kind)
    return folder


@pytest.fixture(scope="module")
def model_server(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a real MLServer that serves both of them."""
    folder = tmp_path_factory.mktemp("mlserver")
    server_settings: dict[str, Any] = {"host": "127.0.0.1", "parallel_workers": 0}
    taken: set[int] = set()
    for name in ("http_port", "grpc_port", "metrics_port"):
        server_settings[name] = automatic("127.0.0.1", None, taken)
        taken.add(server_settings[name])
    (folder / "settings.json").write_text(json.dumps(server_settings))
    for kind in ("better", "faulty"):
        (folder / kind).mkdir()
        (folder / kind / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": kind,
                    "implementation": "mlserver_mlflow.MLflowRuntime",
                    "parameters": {"uri": str(artifacts / kind)},
                }
            )
        )
    url = f"http://127.0.0.1:{server_settings['http_port']}/v2"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [settings.MODELS_PYTHON / "mlserver", "start", folder],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await_answer(server, f"{url}/health/ready", folder / "log", START_SECONDS)
        # No connection is kept: MLServer closes it after a 500.
        unkept = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=url, timeout=10, limits=unkept) as client:
            yield client
    finally:
        os.killpg(server.pid, 9)
        server.wait(10)


def infer(client: httpx.Client, model: str, body: str) -> httpx.Response:
    """One request, as a client sends it."""
    headers = {"content-type": "application/json"}
    return client.post(f"/models/{model}/infer", content=body, headers=headers)


def test_offline_metrics_rank_the_kinds_and_do_not_betray_the_faulty_one(
    wines: TrainedWines,
) -> None:
    metrics = {kind: logged["metrics"] for kind, logged in wines.logged.items()}
    assert set(metrics) == {"baseline", "better", "breaking", "slower", "faulty"}
    assert metrics["better"]["accuracy"] > metrics["baseline"]["accuracy"] + 0.1
    assert metrics["better"]["log_loss"] < metrics["baseline"]["log_loss"]
    assert metrics["faulty"]["accuracy"] >= metrics["better"]["accuracy"]
    assert metrics["faulty"]["log_loss"] <= metrics["better"]["log_loss"]


def test_only_the_breaking_kind_needs_a_major_bump(signatures: Mapping[str, Any]) -> None:
    for kind in ("baseline", "faulty"):
        assert compare(signatures["better"], signatures[kind]).differences == ()
    broken = compare(signatures["better"], signatures["breaking"])
    assert broken.needed is Change.MAJOR
    assert [difference.words for difference in broken.differences] == [
        "input hue (double) was removed",
        "input proline (double) was removed",
        "required input colour_hue (double) was added",
    ]


def test_no_kind_holds_a_pickle(artifacts: Path) -> None:
    for kind in ("better", "faulty"):
        found = scan(artifacts / kind)
        assert (found.dangerous, found.suspicious) == ((), ())


@pytest.mark.parametrize("kind", ["better", "faulty"])
def test_the_example_that_the_probe_found_is_answered_by_the_model_server_in_the_same_shape(
    artifacts: Path, model_server: httpx.Client, kind: str
) -> None:
    probe = SubprocessProbe(SubprocessProbeConfig(settings.MODELS_PYTHON / "python", settings.BASE_DIR))
    report = probe.inspect(artifacts / kind, 60, 4096)
    assert report.failure is None
    answer = infer(model_server, kind, json.dumps(report.example))
    assert answer.status_code == 200
    described = [{k: o[k] for k in ("name", "datatype", "shape")} for o in answer.json()["outputs"]]
    assert described == [dict(output) for output in report.outputs]


def test_real_rows_are_all_answered_by_better_and_a_share_fails_at_faulty(
    model_server: httpx.Client, wines: TrainedWines
) -> None:
    rows = wines.rows.read_text().splitlines()
    assert len(rows) == 178
    answers = {
        kind: Counter(infer(model_server, kind, row).status_code for row in rows)
        for kind in ("better", "faulty")
    }
    assert answers["better"] == {200: 178}
    assert set(answers["faulty"]) == {200, 500}
    assert 0.1 <= answers["faulty"][500] / 178 <= 0.2
