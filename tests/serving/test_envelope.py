"""Encrypted model files: what comes out is what went in, or a refusal that says what was done to it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import envelope
from serving.envelope import keys_from, opened, rewrap, seal
from serving.errors import CannotLoad

KEY = MultiFernet([Fernet(Fernet.generate_key())])
CHUNK = 64


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "CHUNK_BYTES", CHUNK)


def sealed(folder: Path, files: dict[str, bytes], keys: MultiFernet = KEY) -> Path:
    """The files, encrypted, as a folder."""
    number = len(list(folder.iterdir()))
    for path, content in files.items():
        file = folder / f"plain-{number}" / "members" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / f"plain-{number}" / "members").mkdir(parents=True, exist_ok=True)
    seal(folder / f"plain-{number}", "members", folder / f"sealed-{number}", keys)
    return folder / f"sealed-{number}"


def content_of(folder: Path, keys: MultiFernet = KEY) -> dict[str, bytes]:
    with opened(folder, keys) as plain:
        members = plain / "members"
        return {
            path.relative_to(members).as_posix(): path.read_bytes()
            for path in members.rglob("*")
            if path.is_file()
        }


def tokens(folder: Path, file: str) -> tuple[Path, list[bytes]]:
    """The encrypted file of one plain file, and its lines."""
    [entry] = [
        entry
        for entry in json.loads((folder / "manifest.json").read_text())["files"]
        if entry["path"] == f"members/{file}"
    ]
    path = folder / "files" / entry["name"]
    return path, path.read_bytes().splitlines(keepends=True)


names = st.text("abc", min_size=1, max_size=3)
contents = st.one_of(
    st.binary(max_size=3 * CHUNK), st.integers(0, 4).map(lambda n: b"x" * (n * CHUNK)), st.just(b"")
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.dictionaries(st.builds("{}/{}".format, names, names), contents, max_size=4))
def test_opening_what_was_sealed_gives_the_same_files(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert content_of(sealed(tmp_path, files)) == files


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.data())
def test_opening_with_any_byte_changed_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    folder = sealed(tmp_path, {"a": b"1" * 150, "b": b"2" * 10})
    file = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 6))
    file.write_bytes(bytes(content))
    with pytest.raises(CannotLoad):
        content_of(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(st.data())
def test_opening_a_file_cut_anywhere_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    folder = sealed(tmp_path, {"a": b"1" * 150})
    file, lines = tokens(folder, "a")
    whole = b"".join(lines)
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CannotLoad, match=r"members/a: chunk \d of 3 (is missing|was cut or altered)"):
        content_of(folder)


Damage = Callable[[Path], None]


def exchange_chunks_of_a_file(folder: Path) -> None:
    file, lines = tokens(folder, "a")
    file.write_bytes(b"".join([lines[1], lines[0], lines[2]]))


def exchange_chunks_between_files(folder: Path) -> None:
    (first, a), (_, b) = tokens(folder, "a"), tokens(folder, "b")
    first.write_bytes(b"".join([b[0], *a[1:]]))


def repeat_the_last_chunk(folder: Path) -> None:
    file, lines = tokens(folder, "a")
    file.write_bytes(b"".join([*lines, lines[-1]]))


def cut_after_the_first_chunk(folder: Path) -> None:
    file, lines = tokens(folder, "a")
    file.write_bytes(lines[0])


def flip_a_bit(folder: Path) -> None:
    file, lines = tokens(folder, "a")
    altered = bytearray(lines[1])
    altered[40] ^= 1
    file.write_bytes(b"".join([lines[0], bytes(altered), lines[2]]))


def leave_a_file_out_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"].pop()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def exchange_the_names_of_two_files(folder: Path) -> None:
    (first, _), (second, _) = tokens(folder, "a"), tokens(folder, "b")
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def remove_a_file(folder: Path) -> None:
    tokens(folder, "a")[0].unlink()


def add_a_file(folder: Path) -> None:
    (folder / "files" / "more").write_bytes(b"")


def remove_the_key(folder: Path) -> None:
    (folder / "key").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (exchange_chunks_of_a_file, "members/a: chunk 1 of 3 is chunk 2 of 3: chunks were moved"),
        (exchange_chunks_between_files, "members/a: chunk 1 of 3 belongs to another file"),
        (repeat_the_last_chunk, "members/a: something was appended after its 3 chunks"),
        (cut_after_the_first_chunk, "members/a: chunk 2 of 3 is missing: the file was cut off"),
        (flip_a_bit, "members/a: chunk 2 of 3 was cut or altered"),
        (leave_a_file_out_of_the_manifest, "manifest.json was altered"),
        (exchange_the_names_of_two_files, "members/a: chunk 1 of 3 belongs to another file"),
        (remove_a_file, "members/a: its encrypted file is missing"),
        (add_a_file, "files/more is not in the manifest"),
        (remove_the_key, "the encrypted artifact is not complete"),
    ],
)
def test_opening_a_damaged_artifact_is_refused_and_says_what_was_done(
    tmp_path: Path, damage: Damage, message: str
) -> None:
    folder = sealed(tmp_path, {"a": b"1" * 150, "b": b"2" * 150})
    assert content_of(folder)
    damage(folder)
    with pytest.raises(CannotLoad, match=message):
        content_of(folder)


def test_opening_takes_nothing_from_another_artifact_under_the_same_key(tmp_path: Path) -> None:
    first = sealed(tmp_path, {"a": b"1" * 150})
    second = sealed(tmp_path, {"a": b"2" * 150})
    tokens(first, "a")[0].write_bytes(tokens(second, "a")[0].read_bytes())
    with pytest.raises(CannotLoad, match="members/a: chunk 1 of 3 was cut or altered"):
        content_of(first)


def test_opening_with_a_wrong_key_is_refused(tmp_path: Path) -> None:
    folder = sealed(tmp_path, {"a": b"1"})
    with pytest.raises(CannotLoad, match="no key in MODEL_ENCRYPTION_KEY opens this model"):
        content_of(folder, MultiFernet([Fernet(Fernet.generate_key())]))


def test_rotation_lets_the_new_key_open_what_the_old_one_sealed(tmp_path: Path) -> None:
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    folder = sealed(tmp_path, {"a": b"1"}, MultiFernet([old]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "key").write_bytes(rewrap((folder / "key").read_bytes(), MultiFernet([new, old])))
    assert content_of(folder, MultiFernet([new])) == {"a": b"1"}
    with pytest.raises(CannotLoad):
        content_of(folder, MultiFernet([old]))
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed == ["key"]


def test_rotation_of_a_key_that_nobody_has_is_refused() -> None:
    with pytest.raises(CannotLoad, match="no key in MODEL_ENCRYPTION_KEY opens the file `key`"):
        rewrap(Fernet(Fernet.generate_key()).encrypt(b"{}"), KEY)


def test_opened_files_are_in_memory_only_and_gone_afterwards(tmp_path: Path) -> None:
    folder = sealed(tmp_path, {"forest/model.skops": b"the weights"})
    before = set(os.listdir("/proc/self/fd"))
    with opened(folder, KEY) as plain:
        file = plain / "members" / "forest" / "model.skops"
        assert os.readlink(file).startswith("/proc/self/fd/")
        assert os.readlink(os.readlink(file)).startswith("/memfd:")
        assert [path for path in plain.rglob("*") if path.is_file() and not path.is_symlink()] == []
        assert plain.is_relative_to(envelope.SHARED_MEMORY)
    assert not plain.exists()
    assert set(os.listdir("/proc/self/fd")) == before


def test_opened_files_that_are_asked_for_as_files_are_no_links(tmp_path: Path) -> None:
    folder = sealed(tmp_path, {"forest/MLmodel": b"described", "forest/model": b"weights"})
    with opened(folder, KEY, copied=("MLmodel",)) as plain:
        described, model = (plain / "members" / "forest" / name for name in ("MLmodel", "model"))
        assert not described.is_symlink()
        assert described.read_bytes() == b"described"
        assert model.is_symlink()


def test_no_plain_text_is_in_the_sealed_folder(tmp_path: Path) -> None:
    folder = sealed(tmp_path, {"a": b"the weights" * 20})
    assert not any(b"the weights" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "MODEL_ENCRYPTION_KEY is not set"),
        (" , ", "MODEL_ENCRYPTION_KEY is not set"),
        ("short", "key 1 of 1 is not a Fernet key"),
        (f"{Fernet.generate_key().decode()},hunter2", "key 2 of 2 is not a Fernet key"),
    ],
    ids=["none", "empty", "short", "second"],  # without a key that differs each time
)
def test_keys_that_are_missing_or_malformed_are_named_and_not_shown(value: str | None, message: str) -> None:
    with pytest.raises(CannotLoad, match=message) as raised:
        keys_from({} if value is None else {"MODEL_ENCRYPTION_KEY": value})
    assert "hunter2" not in str(raised.value)
