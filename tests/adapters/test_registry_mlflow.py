"""The MLflow registry where MLflow is old-fashioned, broken or hostile."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from releases.adapters.registry.mlflow import MLflowConfig, MLflowRegistry, read_mlmodel, read_signature
from releases.ports import Refused, Unreachable

VERSION = {"name": "m", "version": "1", "source": "mlflow-artifacts:/x", "creation_timestamp": 1}
GET_VERSION = "/api/2.0/mlflow/model-versions/get"
LIST = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class Impostor:
    """A server that answers each path as the test says: (status, body)."""

    url: str
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    delay: float = 0.0

    def says(self, path: str, content: Mapping[str, object] | bytes, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = (status, body)


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(server_side.delay)
            status, body = server_side.answers.get(urlsplit(self.path).path, (404, b"no"))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet: the tests look at the answers."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    server_side = Impostor(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server_side
    server.shutdown()
    server.server_close()
    thread.join(5)


def registry_of(impostor: Impostor, timeout: float = 5.0) -> MLflowRegistry:
    return MLflowRegistry(MLflowConfig(impostor.url, timeout=timeout))


@pytest.mark.parametrize("name", ["../evil", "..", ".", "", "a/../../evil", "/etc/evil", "a\\b", "a\0"])
def test_download_of_a_file_name_that_leaves_the_folder_is_refused(
    impostor: Impostor, tmp_path: Path, name: str
) -> None:
    impostor.says(GET_VERSION, {"model_version": VERSION})
    impostor.says(LIST, {"files": [{"path": name, "is_dir": False}]})
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(Refused, match="forbidden name"):
        registry_of(impostor).download("m", 1, inside)
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]


def test_download_of_folders_without_end_is_refused(impostor: Impostor, tmp_path: Path) -> None:
    impostor.says(GET_VERSION, {"model_version": VERSION})
    impostor.says(LIST, {"files": [{"path": "again", "is_dir": True}]})
    with pytest.raises(Refused, match="deep"):
        registry_of(impostor).download("m", 1, tmp_path)


@pytest.mark.parametrize("source", ["s3://bucket/model", "file:///etc", "mlflow-artifacts://else:1/x"])
def test_download_from_where_the_server_does_not_serve_is_refused_naming_the_place(
    impostor: Impostor, tmp_path: Path, source: str
) -> None:
    impostor.says(GET_VERSION, {"model_version": VERSION | {"source": source}})
    with pytest.raises(Refused, match=source):
        registry_of(impostor).download("m", 1, tmp_path)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_failing_server_is_unreachable_not_a_refusal(impostor: Impostor, status: int) -> None:
    impostor.says(GET_VERSION, b"<html>bad gateway</html>", status)
    with pytest.raises(Unreachable, match="failing"):
        registry_of(impostor).get_version("m", 1)


def test_a_refusal_carries_the_servers_words(impostor: Impostor) -> None:
    impostor.says(GET_VERSION, {"error_code": "PERMISSION_DENIED", "message": "not for you"}, 403)
    with pytest.raises(Refused, match="not for you"):
        registry_of(impostor).get_version("m", 1)


def test_a_server_that_is_not_mlflow_is_refused(impostor: Impostor) -> None:
    impostor.says(GET_VERSION, b"<html>welcome</html>")
    with pytest.raises(Refused, match="not MLflow"):
        registry_of(impostor).get_version("m", 1)


def test_a_server_that_hangs_is_unreachable_within_the_timeout(impostor: Impostor) -> None:
    impostor.delay = 3
    started = time.monotonic()
    with pytest.raises(Unreachable, match="in time"):
        registry_of(impostor, timeout=0.3).get_version("m", 1)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"signature: 1", b"signature: {inputs: '{'}"])
def test_read_signature_of_a_bad_file_is_none(text: bytes) -> None:
    assert read_signature(read_mlmodel(text)) is None


def test_read_signature_leaves_out_the_parts_that_are_not_there() -> None:
    text = b'signature: {inputs: \'[{"type": "long"}]\', outputs: null, params: null}'
    assert read_signature(read_mlmodel(text)) == {"inputs": [{"type": "long"}]}


@pytest.fixture
def run_with_a_folder(mlflow_server: str) -> Iterator[tuple[httpx.Client, str, str]]:
    """A run as MLflow 2 left it: the model is a folder among the run's artifacts."""
    with httpx.Client(base_url=f"{mlflow_server}/api/2.0") as client:
        created = client.post(
            "/mlflow/runs/create", json={"experiment_id": "0", "start_time": 1_700_000_000_000}
        ).json()
        run_id = created["run"]["info"]["run_id"]
        folder = f"/mlflow-artifacts/artifacts/0/{run_id}/artifacts/classic"
        mlmodel = 'signature:\n  inputs: \'[{"type": "long", "name": "a"}]\'\n'
        client.put(f"{folder}/MLmodel", content=mlmodel).raise_for_status()
        client.put(f"{folder}/data/model b.pkl", content=b"\0" * 3_000_000).raise_for_status()
        client.post(
            "/mlflow/runs/log-metric",
            json={"run_id": run_id, "key": "rmse", "value": 2.5, "timestamp": 1},
        ).raise_for_status()
        yield client, run_id, folder


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_a_model_that_mlflow_2_logged_is_registered_read_and_downloaded(
    mlflow_server: str, run_with_a_folder: tuple[httpx.Client, str, str], tmp_path: Path
) -> None:
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    name = f"classic-{uuid4().hex[:8]}"
    version = registry.register(name, run_with_a_folder[1], "classic", {}, "")
    assert version.signature == {"inputs": [{"type": "long", "name": "a"}]}
    assert version.metrics == {"rmse": 2.5}
    registry.download(name, 1, tmp_path)
    assert (tmp_path / "data" / "model b.pkl").stat().st_size == 3_000_000


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_download_of_an_artifact_that_vanished_is_refused_and_the_version_still_known(
    mlflow_server: str, run_with_a_folder: tuple[httpx.Client, str, str], tmp_path: Path
) -> None:
    client, run_id, folder = run_with_a_folder
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    name = f"vanished-{uuid4().hex[:8]}"
    registry.register(name, run_id, "classic", {}, "")
    client.delete(folder).raise_for_status()
    with pytest.raises(Refused, match=f"artifact of {name} version 1 is gone"):
        registry.download(name, 1, tmp_path)
    assert registry.get_version(name, 1).signature is None


@pytest.mark.stack
@pytest.mark.timeout(300)
def test_a_name_with_a_quotation_mark_finds_only_its_own_versions(
    mlflow_server: str, run_with_a_folder: tuple[httpx.Client, str, str]
) -> None:
    registry = MLflowRegistry(MLflowConfig(mlflow_server))
    name = f"o'hara-{uuid4().hex[:8]}"
    registry.register(name, run_with_a_folder[1], "classic", {}, "")
    assert [version.name for version in registry.list_versions(name)] == [name]
