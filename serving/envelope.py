"""Encrypts a folder of model files, and opens it again without a plain byte on the disk.

An envelope: files are encrypted in chunks under a data key made for this artifact alone; the data key is
wrapped under the keys of MODEL_ENCRYPTION_KEY, so a rotation rewrites one small file. A sealed folder is

    key             a Fernet token under MODEL_ENCRYPTION_KEY of {"version", "data_key", "manifest"}
    manifest.json   {"version", "files": [{"path", "name", "bytes", "sha256"}]}, of the plain files
    files/<name>    a Fernet token under the data key per line, each of one chunk

`manifest` in the key is the manifest's SHA-256: who cannot open the key cannot change which files there are.
The plain text of a chunk begins with its file, its place and the number of chunks, so nothing can be cut,
moved or exchanged between files. Knows files and keys, nothing of models.
"""

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from serving.errors import CannotLoad

KEY_VARIABLE = "MODEL_ENCRYPTION_KEY"
KEY_FILE, MANIFEST_FILE, FILES_FOLDER = "key", "manifest.json", "files"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # a file system in memory, on every Linux
VERSION = 1
CHUNK_BYTES = 1 << 20
PLACE = struct.Struct(">32sQQ")
"""What a chunk's plain text begins with: the file's name, the index of the chunk, how many there are."""
LONGEST_TOKEN = 4 * (CHUNK_BYTES + 256) // 3
"""Of one chunk: base64 with 57 bytes of Fernet's and up to 16 of padding around it."""


def keys_from(environ: Mapping[str, str]) -> MultiFernet:
    """The keys of MODEL_ENCRYPTION_KEY, separated by commas; the first encrypts, all decrypt."""
    text = environ.get(KEY_VARIABLE, "")
    words = [word.strip() for word in text.split(",") if word.strip()]
    keys = []
    for number, word in enumerate(words, start=1):
        try:
            keys.append(Fernet(word))
        except ValueError:  # the cause would show the key
            raise CannotLoad(
                f"{KEY_VARIABLE}: key {number} of {len(words)} is not a Fernet key "
                "(32 bytes in URL-safe base64)"
            ) from None
    if not keys:
        raise CannotLoad(f"{KEY_VARIABLE} is not set: an encrypted model cannot be opened without its key")
    return MultiFernet(keys)


def seal(directory: Path, part: str, into: Path, keys: MultiFernet) -> None:
    """Encrypt every file in the folder `part` of `directory` into the new folder `into`."""
    data_key = Fernet.generate_key()
    fernet = Fernet(data_key)
    (into / FILES_FOLDER).mkdir(parents=True)
    files = []
    for path in sorted(path for path in (directory / part).rglob("*") if path.is_file()):
        relative = path.relative_to(directory).as_posix()
        files.append(_seal_file(path, relative, into / FILES_FOLDER, fernet))
    manifest = json.dumps({"version": VERSION, "files": files}, indent=1).encode()
    (into / MANIFEST_FILE).write_bytes(manifest)
    secret = {"version": VERSION, "data_key": data_key.decode(), "manifest": _sha256(manifest)}
    (into / KEY_FILE).write_bytes(keys.encrypt(json.dumps(secret).encode()))


@contextmanager
def opened(sealed: Path, keys: MultiFernet, copied: Collection[str] = ()) -> Iterator[Path]:
    """The plain files, below a folder that holds only links to memory of this process.

    All is decrypted and verified before the folder is there: nothing of an altered artifact is ever
    read as a model. Files whose name is in `copied` are no links, for readers that follow none out of the
    folder; the folder itself is in shared memory, whose size bounds what else could be put there. Raises
    CannotLoad. The memory is given back when the block ends.
    """
    if not hasattr(os, "memfd_create") or not SHARED_MEMORY.is_dir():
        raise CannotLoad(f"an encrypted model needs Linux with {SHARED_MEMORY}: it is opened in memory alone")
    fernet, files = _unwrap(sealed, keys)
    with ExitStack() as open_files:
        plain: dict[str, int] = {}
        for entry in files:
            memory = os.memfd_create(entry["name"], os.MFD_CLOEXEC)
            open_files.callback(os.close, memory)
            _open_file(sealed / FILES_FOLDER / entry["name"], entry, fernet, memory)
            plain[entry["path"]] = memory
        folder = tempfile.TemporaryDirectory(prefix="model-", dir=SHARED_MEMORY)
        directory = Path(open_files.enter_context(folder))
        for relative, memory in plain.items():
            file, source = directory / relative, Path(f"/proc/self/fd/{memory}")
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.name in copied:
                file.write_bytes(source.read_bytes())
            else:
                file.symlink_to(source)
        yield directory


def rewrap(token: bytes, keys: MultiFernet) -> bytes:
    """The content of the file `key` under the first of the keys, instead of any of them."""
    try:
        return keys.rotate(token)
    except InvalidToken:
        raise CannotLoad(_unopened("the file `key`")) from None


def _unopened(what: str) -> str:
    return f"no key in {KEY_VARIABLE} opens {what}: it was wrapped with another key, or altered"


def _unwrap(sealed: Path, keys: MultiFernet) -> tuple[Fernet, list[dict[str, Any]]]:
    """The data key and the entries of the manifest, which is known to be the sealed one."""
    try:
        token, manifest = (sealed / KEY_FILE).read_bytes(), (sealed / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise CannotLoad(f"the encrypted artifact is not complete: {error}") from error
    try:
        secret = json.loads(keys.decrypt(token))
    except InvalidToken:
        raise CannotLoad(_unopened("this model")) from None
    if secret["version"] != VERSION:
        raise CannotLoad(f"the artifact is encrypted in format {secret['version']}, known is {VERSION}")
    if _sha256(manifest) != secret["manifest"]:
        raise CannotLoad("manifest.json was altered: it is not the one that was sealed with the key")
    files: list[dict[str, Any]] = json.loads(manifest)["files"]
    present = (
        {path.name for path in (sealed / FILES_FOLDER).iterdir()}
        if (sealed / FILES_FOLDER).is_dir()
        else set()
    )
    if unknown := present - {entry["name"] for entry in files}:
        raise CannotLoad(f"files/{min(unknown)} is not in the manifest")
    return Fernet(secret["data_key"]), files


def _seal_file(path: Path, relative: str, into: Path, fernet: Fernet) -> dict[str, Any]:
    """One file; its name among the sealed ones is derived from its path. Returns the manifest's entry."""
    name, size = _sha256(relative.encode()), path.stat().st_size
    count, digest, seen = _chunks(size), hashlib.sha256(), 0
    with path.open("rb") as plain, (into / name).open("xb") as sealed:
        for index in range(count):
            data = plain.read(CHUNK_BYTES)
            digest.update(data)
            seen += len(data)
            sealed.write(fernet.encrypt(PLACE.pack(bytes.fromhex(name), index, count) + data) + b"\n")
        if seen != size or plain.read(1):
            raise CannotLoad(f"{relative} changed while it was being encrypted")
    return {"path": relative, "name": name, "bytes": size, "sha256": digest.hexdigest()}


def _open_file(path: Path, entry: Mapping[str, Any], fernet: Fernet, memory: int) -> None:
    """Decrypt one file into memory and check that it is whole."""
    what, count, digest = entry["path"], _chunks(entry["bytes"]), hashlib.sha256()
    try:
        sealed = path.open("rb")
    except OSError as error:
        raise CannotLoad(f"{what}: its encrypted file is missing") from error
    with sealed:
        for index in range(count):
            data = _chunk(sealed, fernet, f"{what}: chunk {index + 1} of {count}", (path.name, index, count))
            digest.update(data)
            _write(memory, data)
        if sealed.read(1):
            raise CannotLoad(f"{what}: something was appended after its {count} chunks")
    if digest.hexdigest() != entry["sha256"] or os.fstat(memory).st_size != entry["bytes"]:
        raise CannotLoad(f"{what}: the decrypted file is not the one that was encrypted")


def _chunk(sealed: BinaryIO, fernet: Fernet, what: str, place: tuple[str, int, int]) -> bytes:
    """The next chunk, if it is the one that belongs here."""
    line = sealed.readline(LONGEST_TOKEN + 1)
    if not line:
        raise CannotLoad(f"{what} is missing: the file was cut off")
    try:
        if not line.endswith(b"\n"):
            raise InvalidToken
        plain = fernet.decrypt(line[:-1])
    except InvalidToken:
        raise CannotLoad(f"{what} was cut or altered") from None
    name, index, count = PLACE.unpack_from(plain)
    if name.hex() != place[0]:
        raise CannotLoad(f"{what} belongs to another file: chunks were exchanged")
    if (index, count) != place[1:]:
        raise CannotLoad(f"{what} is chunk {index + 1} of {count}: chunks were moved")
    return plain[PLACE.size :]


def _write(memory: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(memory, view) :]


def _chunks(size: int) -> int:
    """An empty file has one empty chunk, so that it, too, is authenticated."""
    return max(1, -(-size // CHUNK_BYTES))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
