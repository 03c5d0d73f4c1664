"""The store of artifacts: the digest, adoption by several workers at once, damage and repair."""

import json
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.errors import Invalid
from releases.services import artifacts
from releases.services.artifacts import ArtifactStore, digest

FILES = {"MLmodel": b"flavors: {}\n", "data/model.skops": b"\0" * 3_000_000}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    return directory


def adopt(store: ArtifactStore, files: Mapping[str, bytes] = FILES) -> tuple[str, int]:
    with store.scratch() as scratch:
        return store.adopt(write(scratch, files))


def test_digest_of_a_known_artifact_is_the_documented_one(tmp_path: Path) -> None:
    """Computed by hand from the definition: it must never change."""
    write(tmp_path, {"b": b"xyz", "a/c": b""})
    assert digest(tmp_path) == ("sha256:ffcef21de9bb832720c9c1f43faf9a0e3d861ead49e76c5a87c3515f4181896a")


def test_digest_looks_at_names_and_contents_only(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", FILES), write(tmp_path / "2", dict(reversed(FILES.items())))
    os.utime(two / "MLmodel", (1, 1))
    (two / "MLmodel").chmod(0o400)
    (two / "empty").mkdir()
    assert digest(one) == digest(two)


MEMBER = {
    "name": "a",
    "model": "forest",
    "version": "1.0.0",
    "registry_version": 1,
    "digest": "sha256:" + "0" * 64,
}
COMPOSED = {
    "version": 1,
    "core": {"kind": "single", "members": [MEMBER]},
    "blocks": {"encryption": {"folder": "x"}},
}
KEY = "artifacts/encryption/key"
TOKENS = [b"gAAAAA" + letter * 200 for letter in (b"a", b"b")]


def encrypted(key: bytes, **composition: object) -> dict[str, bytes]:
    described = {"metadata": {"composition": {**COMPOSED, **composition}}}
    return {
        "MLmodel": json.dumps(described).encode(),
        KEY: key,
        "artifacts/encryption/files/f": b"ciphertext",
    }


def test_digest_of_an_encrypted_artifact_leaves_the_wrapped_key_out(tmp_path: Path) -> None:
    one, two = (write(tmp_path / str(n), encrypted(token)) for n, token in enumerate(TOKENS))
    assert digest(one) == digest(two)
    (two / KEY).unlink()
    assert digest(one) == digest(two)
    (two / "artifacts/encryption/files/f").write_bytes(b"altered")
    assert digest(one) != digest(two)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        (b"import os\n" * 20, {}),  # could be read as code
        (TOKENS[0] + b"\n" + TOKENS[0], {}),
        (TOKENS[0] * 40, {}),
        (TOKENS[0], {"blocks": {}}),
        (TOKENS[0], {"version": 2}),
    ],
)
def test_digest_counts_whatever_is_not_the_wrapped_key_of_an_encrypted_artifact(
    tmp_path: Path, key: bytes, changes: dict[str, object]
) -> None:
    one, two = (
        write(tmp_path / "1", encrypted(key, **changes)),
        write(tmp_path / "2", encrypted(key, **changes)),
    )
    (two / KEY).write_bytes(TOKENS[1])
    assert digest(one) != digest(two)


def test_adopt_of_a_rotated_artifact_keeps_its_digest_and_takes_the_new_key(store: ArtifactStore) -> None:
    before, after = adopt(store, encrypted(TOKENS[0])), adopt(store, encrypted(TOKENS[1]))
    assert before[0] == after[0]
    assert (store.path(after[0]) / KEY).read_bytes() == TOKENS[1]
    assert store.verify(after[0])


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]))
small = st.dictionaries(
    names.filter(lambda name: name not in ("", ".", "..") and len(name.encode()) < 100),
    st.binary(max_size=20),
    max_size=4,
)


@given(small, small)
def test_digest_differs_when_any_name_or_content_differs(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("digest")
    (folder / "1").mkdir()
    (folder / "2").mkdir()
    same = digest(write(folder / "1", one)) == digest(write(folder / "2", two))
    assert same == (one == two)


@pytest.mark.parametrize("kind", ["file", "folder", "dangling", "pipe"])
def test_digest_of_an_artifact_with_a_link_or_pipe_is_refused(tmp_path: Path, kind: str) -> None:
    artifact = write(tmp_path / "artifact", FILES)
    odd = artifact / "data" / "odd"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to({"file": "/etc/hosts", "folder": "/etc", "dangling": "/nowhere"}[kind])
    with pytest.raises(Invalid, match="data/odd in the artifact is"):
        digest(artifact)


def test_adopt_puts_the_artifact_under_its_digest(store: ArtifactStore) -> None:
    name, size = adopt(store)
    assert size == sum(len(content) for content in FILES.values())
    assert store.holds(name)
    assert store.verify(name)
    assert (store.path(name) / "MLmodel").read_bytes() == FILES["MLmodel"]
    assert list((store.root / "scratch").iterdir()) == []


def test_adopt_twice_keeps_one(store: ArtifactStore) -> None:
    assert adopt(store) == adopt(store)
    assert len(list((store.root / "sha256").iterdir())) == 1


def test_adopt_by_many_workers_at_once_gives_one_complete_artifact(store: ArtifactStore) -> None:
    together = threading.Barrier(8)

    def work(_: int) -> str:
        with store.scratch() as scratch:
            write(scratch, FILES)
            together.wait(10)
            name, _size = store.adopt(scratch)
        assert store.verify(name)
        return name

    with ThreadPoolExecutor(8) as pool:
        (name,) = set(pool.map(work, range(8)))
    assert [path.name for path in (store.root / "sha256").iterdir()] == [name[7:]]


def test_adopt_replaces_an_artifact_that_was_damaged(store: ArtifactStore) -> None:
    name, _ = adopt(store)
    (store.path(name) / "data" / "model.skops").unlink()
    assert store.holds(name)
    assert not store.verify(name)
    adopt(store)
    assert store.verify(name)


def test_verify_and_holds_of_an_unknown_digest_are_false(store: ArtifactStore) -> None:
    unknown = f"sha256:{'0' * 64}"
    assert not store.holds(unknown)
    assert not store.verify(unknown)


@pytest.mark.parametrize("name", ["", "sha256:", "sha256:../../etc", "../x", f"md5:{'0' * 64}"])
def test_path_of_what_is_no_digest_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(Invalid, match="not a digest"):
        store.path(name)


def test_scratch_leaves_nothing_after_a_failure(store: ArtifactStore) -> None:
    def fail() -> None:
        with store.scratch() as scratch:
            write(scratch, FILES)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert list((store.root / "scratch").iterdir()) == []


def test_scratch_removes_what_killed_workers_left_long_ago_only(store: ArtifactStore) -> None:
    old, recent = (write(store.root / "scratch" / name, FILES) for name in ("old", "recent"))
    long_ago = os.stat(old).st_mtime - 2 * artifacts.ABANDONED_SECONDS
    os.utime(old, (long_ago, long_ago))
    with store.scratch():
        assert not old.exists()
        assert recent.exists()
