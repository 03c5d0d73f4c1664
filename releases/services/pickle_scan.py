"""Looks for dangerous pickles among the files of a model, without unpickling anything.

A pickle is a program. `picklescan` reads which names it imports; here is decided which files are read,
and a file that should be a pickle but cannot be read to its end counts as dangerous: nobody can say
what it does. Knows file formats, not models.
"""

import bz2
import contextlib
import gzip
import json
import lzma
import posixpath
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml
from picklescan.scanner import SafetyLevel, ScanResult, scan_bytes

PICKLES = {".pkl", ".pickle", ".cloudpickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt", ".bin"}
TEXTS = {".json", ".yaml", ".yml", ".txt", ".md", ".csv", ".py", ".toml"}
MOST_BYTES = 4 << 30  # of one file, unpacked
CHUNK_BYTES = 1 << 20
SAFE_MODULES = ("builtins", "collections", "numpy", "scipy", "sklearn")
# Names that reach files, the network or code, which picklescan only calls suspicious.
ALSO_DANGEROUS = {"io.open", "codecs.open", "builtins.__import__", "builtins.globals"}
ALSO_DANGEROUS_MODULES = {
    *("code", "codeop", "ftplib", "http", "importlib", "marshal", "multiprocessing"),
    *("pathlib", "smtplib", "socketserver", "tempfile", "urllib", "xmlrpc"),
}
_PROTOCOLS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_LZ4 = b"\x04\x22\x4d\x18"


@dataclass(frozen=True, slots=True)
class Finding:
    """One import (or flaw) in one file, in words."""

    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


@dataclass(frozen=True, slots=True)
class Scan:
    """`dangerous` must not be loaded, `suspicious` may be anything; `notes` say what there is."""

    dangerous: tuple[Finding, ...]
    suspicious: tuple[Finding, ...]
    notes: tuple[str, ...]


def scan(directory: Path) -> Scan:
    """Look into every file that could be, or hold, a pickle."""
    dangerous: list[Finding] = []
    suspicious: list[Finding] = []
    notes: list[str] = []
    named = _named_as_pickles(directory / "MLmodel")
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        file = path.relative_to(directory).as_posix()
        if path.suffix == ".py":
            notes.append(f"{file}: code that is run when the model is loaded")
        if path.suffix == ".skops":
            foreign = _foreign_types(path)
            notes.append(f"{file}: skops, which loads only types that are named as trusted")
            suspicious += [Finding(file, f"asks for the type {name}") for name in foreign]
        expected = path.suffix in PICKLES or file in named
        if not expected and (path.suffix in TEXTS or file == "MLmodel"):
            continue  # read as text, it may look like the oldest kind of pickle
        found = _scan_file(path, expected)
        dangerous += [Finding(file, what) for what in found.dangerous]
        if found.is_pickle or expected:
            suspicious += [Finding(file, what) for what in found.suspicious]
            notes.append(f"{file}: pickle")
    return Scan(tuple(dangerous), tuple(suspicious), tuple(notes))


@dataclass(slots=True)
class _Found:
    dangerous: list[str]
    suspicious: list[str]
    is_pickle: bool


def _scan_file(path: Path, expected: bool) -> _Found:
    """What one file imports. `expected`: its name says that it is a pickle."""
    try:
        with _unpacked(path) as file:
            start = file.read(4)
            file.seek(0)
            is_pickle = start.startswith(_PROTOCOLS)
            if start == _LZ4:
                raise ValueError("packed with lz4")
            # By its content, not by its name: the name of a packed file says nothing of what is inside.
            result = scan_bytes(file, path.name, path.suffix if expected else None)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        flaw = f"cannot be read, so nobody can say what it does: {str(error)[:200]}"
        return _Found([flaw] if expected else [], [], expected)
    except Exception as error:  # picklescan meets whatever a hostile file provokes
        return _Found([f"cannot be read ({type(error).__name__})"], [], expected)
    return _sorted_out(result, is_pickle, expected)


def _sorted_out(result: ScanResult, is_pickle: bool, expected: bool) -> _Found:
    dangerous, suspicious = [], []
    for found in sorted(result.globals, key=lambda one: (one.module, one.name)):
        name = f"{found.module}.{found.name}"[:200]
        module = found.module.partition(".")[0]
        forbidden = name in ALSO_DANGEROUS or module in ALSO_DANGEROUS_MODULES
        if forbidden or found.safety is SafetyLevel.Dangerous:
            dangerous.append(f"imports {name}")
        elif found.safety is SafetyLevel.Suspicious:
            suspicious.append(f"imports {name}")
    if result.scan_err and (is_pickle or expected):
        dangerous.append("cannot be read to its end, so nobody can say what it does")
    return _Found(dangerous, suspicious, is_pickle)


def _unpacked(path: Path) -> IO[bytes]:
    """The file's content, without the packing that joblib may have put round it."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return _copied(gzip.open(path))
    if start.startswith(b"BZh"):
        return _copied(bz2.open(path))
    if start.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return _copied(lzma.open(path))
    if start[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        return _copied(path.open("rb"), zlib.decompressobj())
    return path.open("rb")


def _copied(source: Any, unpacker: Any = None) -> IO[bytes]:
    """A temporary file, for picklescan has to seek; raises `ValueError` when it gets too long."""
    with contextlib.ExitStack() as on_failure:
        copy = on_failure.enter_context(tempfile.TemporaryFile())
        with source:
            for chunk in _chunks(source.read, unpacker):
                copy.write(chunk)
                if copy.tell() > MOST_BYTES:
                    raise ValueError(f"larger than {MOST_BYTES} bytes when unpacked")
        on_failure.pop_all()
    copy.seek(0)
    return copy


def _chunks(read: Callable[[int], bytes], unpacker: Any) -> Iterator[bytes]:
    while chunk := read(CHUNK_BYTES):
        if unpacker is None:
            yield chunk
            continue
        yield unpacker.decompress(chunk, CHUNK_BYTES)
        while unpacker.unconsumed_tail:
            yield unpacker.decompress(unpacker.unconsumed_tail, CHUNK_BYTES)


def _named_as_pickles(mlmodel: Path) -> set[str]:
    """The files that the model says it unpickles, whatever they are called."""
    try:
        described = yaml.safe_load(mlmodel.read_bytes())
        flavors = [flavor for flavor in described["flavors"].values() if isinstance(flavor, dict)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return set()
    return {
        posixpath.normpath(flavor[key])
        for flavor in flavors
        for key in ("pickled_model", "python_model")
        if isinstance(flavor.get(key), str) and not flavor[key].endswith((".skops", ".py"))
    }


def _foreign_types(path: Path) -> list[str]:
    """The types in a skops file that are not of the well-known libraries."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("schema.json") as file:
            schema = json.loads(file.read(50_000_000))
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile):
        return ["(its schema cannot be read)"]
    return sorted(
        {name for name in _types(schema) if not name.startswith(tuple(f"{m}." for m in SAFE_MODULES))}
    )


def _types(schema: object) -> Iterator[str]:
    """ "module.class" of every node, without recursion: the nesting is the file's choice."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            module, name = node.get("__module__"), node.get("__class__")
            if isinstance(module, str) and isinstance(name, str):
                yield f"{module}.{name}"[:200]
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
