"""The pickle scan on real pickles, good and malicious, in all the wrappings they come in."""

import bz2
import collections
import gzip
import io
import json
import lzma
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from releases.services.pickle_scan import Scan, scan


class Malicious:
    """Unpickling this runs a shell command."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch /tmp/unpickled",)


CLEAN = pickle.dumps(collections.OrderedDict(weights=[1.0, 2.0]))
EVIL = pickle.dumps({"weights": Malicious()})


def zipped(content: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", content)
    return memory.getvalue()


WRAPPINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
    "zip": zipped,
    "after-another-pickle": lambda content: pickle.dumps([1, 2]) + content,
}
NAMES = ["model.pkl", "data/model.pickle", "model.joblib", "python_model.cloudpickle", "weights"]


def scan_of(directory: Path, files: dict[str, bytes]) -> Scan:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return scan(directory)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_scan_finds_the_command_in_any_wrapping(tmp_path: Path, wrapping: str, name: str) -> None:
    found = scan_of(tmp_path, {name: WRAPPINGS[wrapping](EVIL)})
    assert [str(finding) for finding in found.dangerous] == [f"{name}: imports posix.system"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_scan_of_a_clean_pickle_finds_nothing(tmp_path: Path, wrapping: str, name: str) -> None:
    found = scan_of(tmp_path, {name: WRAPPINGS[wrapping](CLEAN)})
    assert (found.dangerous, found.suspicious) == ((), ())


def test_scan_never_unpickles(tmp_path: Path) -> None:
    class Marker:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(tmp_path / "unpickled"), "w")

    found = scan_of(tmp_path / "model", {"model.pkl": pickle.dumps(Marker())})
    assert len(found.dangerous) == 1
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "name", ["io open", "builtins __import__", "importlib import_module", "http.client HTTPConnection"]
)
def test_scan_calls_dangerous_what_the_library_only_suspects(tmp_path: Path, name: str) -> None:
    found = scan_of(tmp_path, {"model.pkl": f"c{name.replace(' ', chr(10))}\n.".encode()})
    assert [finding.what for finding in found.dangerous] == [f"imports {name.replace(' ', '.')}"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_scan_reads_every_protocol(tmp_path: Path, protocol: int) -> None:
    assert scan_of(tmp_path, {"model.pkl": pickle.dumps(Malicious(), protocol)}).dangerous


def test_scan_of_a_torch_archive_finds_the_command(tmp_path: Path) -> None:
    assert scan_of(tmp_path, {"model.pt": zipped(EVIL)}).dangerous


def test_scan_of_a_file_that_only_mlmodel_calls_a_pickle_finds_the_command(tmp_path: Path) -> None:
    mlmodel = b"flavors:\n  sklearn:\n    pickled_model: ./model.txt\n"
    old = pickle.dumps(Malicious(), 0)
    assert not scan_of(tmp_path, {"model.txt": old}).dangerous
    found = scan_of(tmp_path, {"model.txt": old, "MLmodel": mlmodel})
    assert [finding.what for finding in found.dangerous] == ["imports posix.system"]


@pytest.mark.parametrize(
    "content",
    [EVIL[:-20] + b"\xff" * 40, b"\x04\x22\x4d\x18" + b"\0" * 40, gzip.compress(CLEAN)[:-12]],
    ids=["broken", "lz4", "cut"],
)
def test_scan_of_a_pickle_that_cannot_be_read_is_dangerous(tmp_path: Path, content: bytes) -> None:
    found = scan_of(tmp_path, {"model.pkl": content})
    assert any("nobody can say what it does" in f.what or "posix" in f.what for f in found.dangerous)


def test_scan_reports_unknown_imports_as_suspicious_only(tmp_path: Path) -> None:
    found = scan_of(tmp_path, {"model.pkl": b"cmy_package.models\nForest\n(tR."})
    assert found.dangerous == ()
    assert [str(f) for f in found.suspicious] == ["model.pkl: imports my_package.models.Forest"]


def test_scan_of_texts_and_code_notes_the_code(tmp_path: Path) -> None:
    found = scan_of(
        tmp_path,
        {"MLmodel": b"artifact_path: x\n", "conda.yaml": b"channels:\n- a\n", "code/own.py": b"x = 1"},
    )
    assert (found.dangerous, found.suspicious) == ((), ())
    assert found.notes == ("code/own.py: code that is run when the model is loaded",)


def test_scan_of_a_skops_file_names_its_foreign_types(tmp_path: Path) -> None:
    schema = {
        "__module__": "sklearn.pipeline",
        "__class__": "Pipeline",
        "content": [{"__module__": "mine", "__class__": "Encoder"}, {"__module__": "numpy"}],
    }
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    found = scan_of(tmp_path, {"model.skops": memory.getvalue(), "broken.skops": b"PK"})
    assert found.dangerous == ()
    assert [str(finding) for finding in found.suspicious] == [
        "broken.skops: asks for the type (its schema cannot be read)",
        "model.skops: asks for the type mine.Encoder",
    ]
