"""What the checks look at, and what earlier ones found out for later ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from releases.models import ModelVersion, Release
from releases.ports import Ports, RegisteredVersion
from releases.services.artifacts import ArtifactStore


@dataclass(slots=True)
class Subject:
    """One release under validation. `registered` and `artifact` are there once their checks have passed."""

    release: Release
    ports: Ports
    store: ArtifactStore
    clock: Callable[[], datetime]
    registered: RegisteredVersion | None = None
    artifact: Path | None = None

    @property
    def version(self) -> ModelVersion:
        return self.release.version

    def found(self) -> RegisteredVersion:
        """The version as the registry has it; for checks that need `version` to have passed."""
        if self.registered is None:
            raise LookupError("the version has not been looked up")
        return self.registered

    def fetched(self) -> Path:
        """The artifact's folder; for checks that need `artifact` to have passed."""
        if self.artifact is None:
            raise LookupError("the artifact has not been fetched")
        return self.artifact
