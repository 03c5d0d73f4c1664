"""The block of encryption: the members' files are ciphertext wherever the model is kept.

They are opened in the memory of the model's process, all verified before the first is read as a model. The
MLmodel file, the signature and the input example of the composed model stay readable: the portal needs
them. Knows the layout of a composed model; the format itself is in `serving.envelope`.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from serving.blocks import Document, Draft, Options
from serving.composition import MEMBERS_FOLDER
from serving.envelope import KEY_FILE, keys_from, opened, rewrap, seal
from serving.errors import CannotLoad, Problem

FOLDER = "encryption"
MLMODEL = "MLmodel"
"""MLflow refuses to read this one file through a link. It describes a member and holds none of it."""
KEY_PATH = f"artifacts/{FOLDER}/{KEY_FILE}"
"""Below a model's folder: the one file that a rotation changes."""


def compose(options: Options, draft: Draft) -> Document:
    """Replace the members' files by their ciphertext under the keys of this process's environment."""
    try:
        keys = keys_from(os.environ)
    except CannotLoad as error:
        raise Problem((FOLDER,), str(error)) from error
    seal(draft.folder, MEMBERS_FOLDER, draft.folder / FOLDER, keys)
    shutil.rmtree(draft.folder / MEMBERS_FOLDER)
    draft.requirements.append(f"cryptography=={version('cryptography')}")
    return {"algorithm": "fernet-envelope-1", "folder": FOLDER}


@contextmanager
def reveal(document: Document, artifacts: Path) -> Iterator[Path]:
    """The members in the clear, for as long as they are being loaded. Raises CannotLoad."""
    with opened(artifacts / document["folder"], keys_from(os.environ), copied=(MLMODEL,)) as folder:
        written_before = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # code of members would be written to the disk beside its links
        try:
            yield folder
        finally:
            sys.dont_write_bytecode = written_before


def rotate(model: Path) -> None:
    """Wrap the data key of a model's folder under the first key of the environment; raises CannotLoad.

    The file is replaced as a whole: whoever loads the model meanwhile finds the old one or the new."""
    path = model / KEY_PATH
    try:
        token = path.read_bytes()
    except OSError as error:
        raise CannotLoad(f"{model} is no encrypted model: it has no {KEY_PATH}") from error
    new = path.with_name("key.new")
    new.write_bytes(rewrap(token, keys_from(os.environ)))
    new.replace(path)
