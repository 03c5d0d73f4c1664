"""The contract of the blocks that stand round a core: what is loaded when, and in which order it is asked.

A block is a module of this package that is named like its key in a spec, `serving.cache` for `cache:`. It
is imported only for models that have it, so that nobody needs the libraries of the others. At request
time the order is fixed: features, then cache, then core; a changed feature is never answered from the
cache. Encryption has no part in requests: it hides the members' files and shows them while they load.
Knows no block.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd
from mlflow.models import ModelSignature

WRAPPINGS = ("cache", "features")
"""From the inside to the outside."""
STORAGE = "encryption"

Options = Mapping[str, Any]
"""A block's part of a spec, checked against `spec.schema.json`."""
Document = Mapping[str, Any]
"""A block's part of the composition document: JSON, whatever the block needs when it is loaded."""


class Predictor(Protocol):
    """A core, or a block around one."""

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any]) -> Any:
        """Answer a table of at least one row: an array, a table, a series or a list, one entry per row.

        `params` are the request's parameters with the defaults of the signature. Raises `RequestRefused`
        when the caller is to blame. May be called from several threads at once."""
        ...


@dataclass
class Draft:
    """A composed model before it is logged. Blocks change it."""

    model: str
    """Its registered name."""
    identity: str
    """Unique for each composing; a cache key holds it, because the semantic version comes later."""
    folder: Path
    """Becomes `artifacts/` of the logged model. Holds `members/<name>/`, each a complete MLflow model."""
    signature: ModelSignature
    input_example: pd.DataFrame
    requirements: list[str] = field(default_factory=list)
    """Lines of pip that the model needs besides those of its members."""


@dataclass(frozen=True)
class Opened:
    """What a block may know of the model that is being loaded."""

    model: str
    identity: str
    artifacts: Path
    signature: ModelSignature
    """The composed model's, as MLmodel has it: with the features block already in it."""


class WrappingBlock(Protocol):
    """What `serving.cache` and `serving.features` offer, as functions of the module."""

    def compose(self, options: Options, draft: Draft) -> Document:
        """Check the options further than a schema can (`Problem`), change the draft, give the document."""
        ...

    def wrap(self, document: Document, opened: Opened, inner: Predictor) -> Predictor:
        """Stand round `inner`. Raises `CannotLoad`, naming the variable that the environment lacks."""
        ...


class StorageBlock(Protocol):
    """What `serving.encryption` offers."""

    def compose(self, options: Options, draft: Draft) -> Document:
        """Called last: `draft.folder` is as it will be logged, but for what this block does to it."""
        ...

    def reveal(self, document: Document, artifacts: Path) -> AbstractContextManager[Path]:
        """A folder with `members/<name>/` in the clear, for as long as members are being loaded.

        Everything is verified before the folder is handed out. Raises `CannotLoad`."""
        ...


def wrapping(key: str) -> WrappingBlock:
    """The module of a block that stands round the core."""
    if key not in WRAPPINGS:
        raise ValueError(f"{key!r} is no block that stands round a core")
    return cast(WrappingBlock, importlib.import_module(f"serving.{key}"))


def storage() -> StorageBlock:
    """The module of the block that hides the files."""
    return cast(StorageBlock, importlib.import_module(f"serving.{STORAGE}"))


def compose_blocks(options: Mapping[str, Options], draft: Draft) -> dict[str, Document]:
    """Let the blocks of a spec change the draft; those outside first, as they change what is asked."""
    documents = {
        key: wrapping(key).compose(options[key], draft) for key in reversed(WRAPPINGS) if key in options
    }
    if STORAGE in options:
        documents[STORAGE] = storage().compose(options[STORAGE], draft)
    return documents


def wrap(documents: Mapping[str, Document], opened: Opened, core: Predictor) -> Predictor:
    """The core with its blocks round it."""
    for key in WRAPPINGS:
        if key in documents:
            core = wrapping(key).wrap(documents[key], opened, core)
    return core


def revealed(documents: Mapping[str, Document], artifacts: Path) -> AbstractContextManager[Path]:
    """The folder with the members in the clear; without the block of encryption `artifacts` itself."""
    if STORAGE in documents:
        return storage().reveal(documents[STORAGE], artifacts)
    return nullcontext(artifacts)
