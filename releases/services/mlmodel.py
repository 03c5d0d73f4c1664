"""The MLmodel file of an artifact that lies on this machine: what a model says of itself. It may lie.

Knows the file's format; what is in it is for others to judge.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from releases.domain import composition
from releases.domain.errors import Invalid

MLMODEL = "MLmodel"
LARGEST_BYTES = 5_000_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


def described(directory: Path) -> Mapping[str, Any]:
    """What the file says; empty when there is none, or it cannot be read."""
    try:
        with (directory / MLMODEL).open("rb") as file:
            content = yaml.load(file.read(LARGEST_BYTES), _LOADER)  # noqa: S506 - one of the two safe loaders
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def composition_document(directory: Path) -> object:
    """`metadata.composition`, None when the model is not composed."""
    metadata = described(directory).get("metadata")
    return metadata.get("composition") if isinstance(metadata, dict) else None


def is_encrypted(directory: Path) -> bool:
    """Whether the model says that its members are encrypted, in a composition that can be read."""
    try:
        return composition.parse(composition_document(directory)).is_encrypted
    except Invalid:
        return False
