"""The artifacts that were fetched: a folder of read-only directories, each under its own digest.

What is in the store is complete and never changes, so two workers that fetch the same artifact at the
same time do no harm. One file may: the wrapped key of an encrypted artifact, which a rotation of keys wraps
anew. Knows files, and where to fetch from; not what is in them.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from releases.domain.errors import Invalid
from releases.models import ModelVersion
from releases.ports import ModelRegistry, Refused
from releases.services import mlmodel

CHUNK_BYTES = 1 << 20
ABANDONED_SECONDS = 86_400.0  # a scratch directory of this age belongs to a worker that was killed
WRAPPED_KEY = b"artifacts/encryption/key"
# A Fernet token and nothing else: what cannot be read as code or as a pickle may change without being seen.
_TOKEN = re.compile(rb"gAAAA[A-Za-z0-9_=-]{64,4096}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def digest(directory: Path) -> str:
    """The SHA-256 of an artifact: "sha256:<64 hex digits>".

    Over all regular files in the order of their relative paths (UTF-8, "/" between the parts, compared
    as bytes): the length of the path, the path, the length of the content, the content; lengths as
    8 bytes, big-endian. Times, modes and empty folders are of no account. A symbolic link, or anything
    else that is neither file nor folder, raises `Invalid`.

    Of an encrypted artifact `WRAPPED_KEY` is left out: a rotation of keys wraps the same data key anew, which
    changes nothing of the model. All else that could be in its place is counted.
    """
    total = hashlib.sha256()
    for name, path in _files(directory):
        if name == WRAPPED_KEY and _is_wrapped_key(path) and mlmodel.is_encrypted(directory):
            continue
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            total.update(len(name).to_bytes(8, "big") + name + length.to_bytes(8, "big"))
            while chunk := file.read(CHUNK_BYTES):
                total.update(chunk)
    return f"sha256:{total.hexdigest()}"


def size(directory: Path) -> int:
    """Bytes of all files together."""
    return sum(path.stat().st_size for _, path in _files(directory))


class ArtifactStore:
    """Artifacts by digest, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty directory to fetch into, on the store's own file system; removed afterwards."""
        folder = self.root / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - old.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as name:
            inside = Path(name) / "artifact"
            inside.mkdir()
            yield inside

    def adopt(self, directory: Path) -> tuple[str, int]:
        """Take the directory over, in one step; returns its digest and size.

        `directory` has to be on the store's file system (see `scratch`) and is gone afterwards."""
        name, total = digest(directory), size(directory)
        target = self.path(name)
        for _, path in _files(directory):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                directory.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                if self.verify(name):  # another worker was first, with the same content
                    _take_key(directory, target)
                    shutil.rmtree(directory)
                    return name, total
                self._discard(target)
            else:
                return name, total

    def path(self, name: str) -> Path:
        """Where the artifact of a digest is, or would be."""
        if not _DIGEST.fullmatch(name):
            raise Invalid(f"{name[:80]!r} is not a digest", code="bad_digest")
        return self.root / "sha256" / name.removeprefix("sha256:")

    def holds(self, name: str) -> bool:
        """Whether the artifact is there; looks at its folder only."""
        return self.path(name).is_dir()

    def verify(self, name: str) -> bool:
        """Whether the artifact is there and still is what its digest says; reads all of it."""
        try:
            return digest(self.path(name)) == name
        except (OSError, Invalid):
            return False

    def _discard(self, target: Path) -> None:
        """Out of the way in one step, then removed."""
        with self.scratch() as scratch, contextlib.suppress(FileNotFoundError):
            target.rename(scratch / "discarded")


def fetch(version: ModelVersion, registry: ModelRegistry, store: ArtifactStore) -> tuple[str, int]:
    """Download a version's artifact into the store; returns its digest and size.

    Raises `Refused` or `Unreachable` of the registry, and `Invalid` for an artifact that is none."""
    with store.scratch() as scratch:
        registry.download(version.model.registry_name, version.registry_version, scratch)
        return store.adopt(scratch)


def restore(version: ModelVersion, registry: ModelRegistry, store: ArtifactStore) -> None:
    """Bring an artifact back that has vanished from the store, or has changed there.

    `Refused` when the registry has something else by now: that is not what was validated."""
    if store.verify(version.digest):
        return
    found, _ = fetch(version, registry, store)
    if found != version.digest:
        raise Refused(
            f"the artifact of {version} is no longer what was validated: "
            f"its digest was {version.digest[:19]}… and is {found[:19]}…"
        )


def _is_wrapped_key(path: Path) -> bool:
    with path.open("rb") as file:
        return _TOKEN.fullmatch(file.read(8_192)) is not None


def _take_key(fetched: Path, kept: Path) -> None:
    """The wrapped key as it was fetched, in place of an older one: the keys may have been rotated since."""
    name = os.fsdecode(WRAPPED_KEY)
    if (fetched / name).is_file():
        os.replace(fetched / name, kept / name)


def _files(directory: Path) -> list[tuple[bytes, Path]]:
    """(relative path as bytes, path) of all files, sorted."""
    if directory.is_symlink():
        raise Invalid("the artifact is a symbolic link", code="bad_artifact")
    found = []
    for folder, folders, names in os.walk(directory, onerror=_raise):
        for name in (*folders, *names):
            path = Path(folder) / name
            mode = path.lstat().st_mode
            relative = path.relative_to(directory).as_posix()
            if stat.S_ISREG(mode):
                found.append((os.fsencode(relative), path))
            elif not stat.S_ISDIR(mode):
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
                raise Invalid(f"{relative} in the artifact is {kind}", code="bad_artifact")
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
