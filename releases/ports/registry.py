"""The registry of models: what it holds, and having it tell by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version in the registry. `signature` is MLflow's: {"inputs": [...], "outputs": [...],
    "params": [...]}, the last two only if the model has them; None when there is no signature.
    `composition` is the document of a composed model, as it says itself; None when it is not composed.
    Neither is in the answer of `list_versions`, which gives no metrics either."""

    name: str
    number: int
    run_id: str
    source: str
    created_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    signature: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    description: str = ""
    composition: Mapping[str, Any] | None = None


class ModelRegistry(Protocol):
    """Where model versions are registered. Every call raises `Unreachable` or `Refused`."""

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of the model, any order; empty when the model is unknown. Cheap enough to be
        polled: `signature` and `metrics` are left out."""

    def get_version(self, name: str, number: int) -> RegisteredVersion:
        """One version with its signature and its (finite) metrics; `Refused` when it is unknown."""

    def register(
        self, name: str, run_id: str, artifact_path: str, tags: Mapping[str, str], description: str
    ) -> RegisteredVersion:
        """Register the model that a run logged under `artifact_path`; creates the model if needed."""

    def annotate(
        self,
        name: str,
        number: int,
        tags: Mapping[str, str],
        aliases: Sequence[str] = (),
    ) -> None:
        """Set tags on the version and point the aliases at it. Absolute, so repeatable."""

    def download(self, name: str, number: int, directory: Path) -> None:
        """Write the version's artifact into `directory`; `Refused` when it is gone."""


@dataclass(frozen=True, slots=True)
class RegistryNotice:
    """What the registry tells by itself: in which message, when it was sent, the event, and the model of
    which something has happened to a version (empty: of none)."""

    delivery: str
    sent_at: datetime
    event: str
    model: str


@dataclass(frozen=True, slots=True)
class RegistryWebhook:
    """Where the registry sends notices, and how they are signed. Of one name there is one."""

    name: str
    url: str
    secret: str = field(repr=False)


class RegistryWebhooks(Protocol):
    """Has a registry tell by itself. Every call raises `Unreachable` or `Refused`."""

    def connect(self, wanted: RegistryWebhook) -> str:
        """Register it, or bring the one of this name or address in line; says which. Repeatable."""

    def test(self, name: str) -> str:
        """Have the registry send an example; what was answered. `Refused` when it did not arrive."""

    def remove(self, name: str) -> bool:
        """Make it not exist; whether it did."""
