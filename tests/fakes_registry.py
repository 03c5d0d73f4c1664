"""The registry in memory. See `tests.fakes`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from releases.ports import (
    Refused,
    RegisteredVersion,
    Unreachable,
)

SIGNATURE: Mapping[str, Any] = {
    "inputs": [{"name": "alcohol", "type": "double", "required": True}],
    "outputs": [{"type": "long", "required": True}],
}


@dataclass
class LoggedModel:
    """What a training run left behind under one artifact path."""

    files: Mapping[str, bytes]
    signature: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass
class FakeRegistry:
    """A registry whose runs are logged with `log`. Version numbers count from 1 per model."""

    reachable: bool = True
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    runs: dict[tuple[str, str], LoggedModel] = field(default_factory=dict)
    versions: dict[str, dict[int, RegisteredVersion]] = field(default_factory=lambda: defaultdict(dict))
    artifacts: dict[tuple[str, int], Mapping[str, bytes]] = field(default_factory=dict)

    def log(
        self,
        run_id: str,
        artifact_path: str = "model",
        files: Mapping[str, bytes] | None = None,
        signature: Mapping[str, Any] | None = SIGNATURE,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """A training run logs a model, as someone's pipeline does."""
        files = {"MLmodel": f"run_id: {run_id}\n".encode()} if files is None else files
        self.runs[run_id, artifact_path] = LoggedModel(files, signature, metrics or {})

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        self._connect()
        known = self.versions.get(name, {}).values()
        return [replace(version, signature=None, metrics={}, composition=None) for version in known]

    def get_version(self, name: str, number: int) -> RegisteredVersion:
        self._connect()
        return self._find(name, number)

    def register(
        self, name: str, run_id: str, artifact_path: str, tags: Mapping[str, str], description: str
    ) -> RegisteredVersion:
        self._connect()
        logged = self.runs.get((run_id, artifact_path))
        if logged is None:
            raise Refused(f"run {run_id} has no model at {artifact_path}")
        number = max(self.versions.get(name, {}), default=0) + 1
        version = RegisteredVersion(
            name=name,
            number=number,
            run_id=run_id,
            source=f"runs:/{run_id}/{artifact_path}",
            created_at=self.now,
            tags=dict(tags),
            signature=logged.signature,
            metrics=dict(logged.metrics),
            description=description,
            composition=(yaml.safe_load(logged.files["MLmodel"]).get("metadata") or {}).get("composition")
            if "MLmodel" in logged.files
            else None,
        )
        self.versions[name][number] = version
        self.artifacts[name, number] = logged.files
        return version

    def annotate(self, name: str, number: int, tags: Mapping[str, str], aliases: Sequence[str] = ()) -> None:
        self._connect()
        version = self._find(name, number)
        for other in list(self.versions[name].values()):
            kept = tuple(alias for alias in other.aliases if alias not in aliases)
            self.versions[name][other.number] = replace(other, aliases=kept)
        version = self.versions[name][number]
        self.versions[name][number] = replace(
            version, tags={**version.tags, **tags}, aliases=(*version.aliases, *aliases)
        )

    def download(self, name: str, number: int, directory: Path) -> None:
        self._connect()
        self._find(name, number)
        files = self.artifacts.get((name, number))
        if files is None:
            raise Refused(f"the artifact of {name} version {number} is gone")
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)

    def _find(self, name: str, number: int) -> RegisteredVersion:
        version = self.versions.get(name, {}).get(number)
        if version is None:
            raise Refused(f"{name} has no version {number}")
        return version

    def _connect(self) -> None:
        if not self.reachable:
            raise Unreachable("the registry does not answer")
