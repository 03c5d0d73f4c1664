"""The digest of a model's files: the same number that the portal gives to the same files."""

import hashlib
import os
from pathlib import Path

CHUNK_BYTES = 1 << 20


def digest(directory: Path) -> str:
    """The SHA-256 of a folder: "sha256:<64 hex digits>".

    Over all regular files in the order of their relative paths (UTF-8, "/" between the parts, compared
    as bytes): the length of the path, the path, the length of the content, the content; lengths as
    8 bytes, big-endian. Anything that is neither file nor folder raises `ValueError`.
    """
    total = hashlib.sha256()
    for name, path in sorted(
        (path.relative_to(directory).as_posix().encode(), path) for path in directory.rglob("*")
    ):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.relative_to(directory)} is neither a file nor a folder")
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            total.update(len(name).to_bytes(8, "big") + name + length.to_bytes(8, "big"))
            while chunk := file.read(CHUNK_BYTES):
                total.update(chunk)
    return f"sha256:{total.hexdigest()}"
