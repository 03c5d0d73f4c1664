"""An encrypted model as MLflow loads it: with its key it answers, otherwise nothing of it is read."""

import json
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pytest
from cryptography.fernet import Fernet
from mlflow import MlflowClient

from serving import __main__ as command
from serving import composed, envelope
from serving.encryption import KEY_PATH
from serving.envelope import KEY_VARIABLE
from serving.errors import CannotLoad, Problem
from tests.serving.composed import ROWS, assembled, core, save_classifier, save_coded, saved, write_spec

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
SECRET = "nobody-may-read-this"


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved ensemble of an estimator and a model of code, encrypted under OLD."""
    folder = tmp_path_factory.mktemp("encrypted")
    members = folder / "composing" / "members"
    members.mkdir(parents=True)
    save_classifier(members / "steps", answers="predict", labels=[0.0, 0.0, 0.0, 1.0, 1.0, 2.0])
    save_coded(members / "coded", f"word = '{SECRET}'\nreturn np.full(len(model_input), 2.0)")
    asked = write_spec(
        folder / "spec.yaml", core("ensemble", {"steps": None, "coded": None}, combine="mean"), encryption={}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, OLD)
        (folder / "saved").mkdir()
        return saved(assembled(folder / "composing", asked), folder / "saved")


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, OLD)


def test_encrypted_model_answers_as_its_members_do(encrypted: Path, key: None) -> None:
    answer = mlflow.pyfunc.load_model(str(encrypted)).predict(ROWS)
    assert answer.tolist() == [1.0, 1.0, 1.0, 1.5, 1.5, 2.0]


def test_encrypted_model_keeps_its_signature_and_example_readable(encrypted: Path) -> None:
    described = mlflow.pyfunc.Model.load(str(encrypted))
    assert described.signature.inputs.input_names() == ["a", "b"]
    assert described.load_input_example(str(encrypted)).columns.tolist() == ["a", "b"]


def test_no_file_of_an_encrypted_model_shows_a_member(encrypted: Path) -> None:
    files = [path for path in encrypted.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert sorted(path.name for path in (encrypted / "artifacts").iterdir()) == [
        "composition.json",
        "encryption",
    ]


def test_loading_writes_nothing_of_a_member_to_the_disk(
    encrypted: Path, key: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(envelope, "SHARED_MEMORY", tmp_path / "memory")
    before = set(os.listdir("/proc/self/fd"))
    seen: list[Path] = []
    load = composed.load_members

    def looking(names: list[str], folder: Path) -> Any:
        loaded = load(names, folder)
        seen.extend(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return loaded

    monkeypatch.setattr(composed, "load_members", looking)
    mlflow.pyfunc.load_model(str(encrypted))
    assert {path.name for path in seen} == {"MLmodel"}
    assert [*tmp_path.iterdir()] == [tmp_path / "memory"]
    assert [*(tmp_path / "memory").iterdir()] == []
    left = set(os.listdir("/proc/self/fd")) - before
    assert [link for link in map(target_of, left) if "memfd:" in link] == []


def target_of(descriptor: str) -> str:
    path = Path("/proc/self/fd", descriptor)
    return os.readlink(path) if path.is_symlink() else ""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "MODEL_ENCRYPTION_KEY is not set"),
        (NEW, "no key in MODEL_ENCRYPTION_KEY opens this model"),
        ("no-key", "key 1 of 1 is not a Fernet key"),
    ],
    ids=["none", "another", "no key"],  # without a key that differs each time
)
def test_encrypted_model_without_its_key_refuses_to_load(
    encrypted: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, message: str
) -> None:
    if value is None:
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(CannotLoad, match=message):
        mlflow.pyfunc.load_model(str(encrypted))


def test_altered_model_is_refused_before_any_member_is_loaded(
    encrypted: Path, key: None, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((copied / "artifacts/encryption/manifest.json").read_text())
    last = copied / "artifacts/encryption/files" / manifest["files"][-1]["name"]
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(bytes(content))
    asked: list[str] = []
    monkeypatch.setattr(composed, "load_members", lambda names, folder: asked.extend(names))
    with pytest.raises(CannotLoad, match=r"members/.*chunk 1 of 1 was cut or altered"):
        mlflow.pyfunc.load_model(str(copied))
    assert asked == []


@pytest.fixture
def copied(encrypted: Path, tmp_path: Path) -> Path:
    copy_tree(encrypted, tmp_path / "model")
    return tmp_path / "model"


def copy_tree(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())


def test_composing_an_encrypted_model_without_a_key_points_at_the_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    (tmp_path / "c" / "members").mkdir(parents=True)
    save_classifier(tmp_path / "c" / "members" / "one")
    asked = write_spec(tmp_path / "spec.yaml", core("single", {"one": None}), encryption={})
    with pytest.raises(Problem, match="MODEL_ENCRYPTION_KEY is not set") as raised:
        assembled(tmp_path / "c", asked)
    assert raised.value.place == ("encryption",)


def test_rotation_of_a_folder_lets_the_new_key_open_it(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f"{NEW},{OLD}")
    assert command.main(["rotate", str(copied)]) == 0
    assert json.loads(capsys.readouterr().out) == {"rotated": str(copied)}
    monkeypatch.setenv(KEY_VARIABLE, NEW)
    assert mlflow.pyfunc.load_model(str(copied)).predict(ROWS).tolist()[0] == 1.0
    monkeypatch.setenv(KEY_VARIABLE, OLD)
    with pytest.raises(CannotLoad, match="no key in MODEL_ENCRYPTION_KEY"):
        mlflow.pyfunc.load_model(str(copied))


def test_rotation_says_what_it_could_not_rotate_and_goes_on(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f"{NEW},{OLD}")
    plain = tmp_path / "plain"
    assert command.main(["rotate", str(plain), str(copied)]) == 2
    printed = capsys.readouterr()
    assert f"{plain} is no encrypted model: it has no {KEY_PATH}" in printed.err
    assert json.loads(printed.out) == {"rotated": str(copied)}


@pytest.mark.stack
@pytest.mark.timeout(400)  # may be the first that needs MLflow
def test_rotation_in_the_registry_changes_the_one_file(
    mlflow_server: str, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    client = MlflowClient(mlflow_server)
    run = client.create_run(client.create_experiment("rotation"))
    client.log_artifacts(run.info.run_id, str(copied), "model")
    client.create_registered_model("encrypted")
    client.create_model_version("encrypted", f"{run.info.artifact_uri}/model", run.info.run_id)
    monkeypatch.setenv(KEY_VARIABLE, f"{NEW},{OLD}")
    assert command.main(["rotate", "models:/encrypted/1"]) == 0
    fetched = Path(mlflow.artifacts.download_artifacts("models:/encrypted/1", dst_path=str(tmp_path / "f")))
    changed = [
        path.relative_to(copied).as_posix()
        for path in copied.rglob("*")
        if path.is_file() and (fetched / path.relative_to(copied)).read_bytes() != path.read_bytes()
    ]
    assert changed == [KEY_PATH]
    monkeypatch.setenv(KEY_VARIABLE, NEW)
    assert mlflow.pyfunc.load_model(str(fetched)).predict(ROWS).tolist()[0] == 1.0
    assert command.main(["rotate", "models:/encrypted/7"]) == 3
