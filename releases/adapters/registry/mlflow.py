"""The registry of MLflow 3 over its REST API.

Knows how MLflow stores a version (logged model, run, artifact location, MLmodel file), and nothing
of releases. Stages are not used: MLflow has deprecated them in favour of aliases and tags.
"""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from releases.adapters.registry.mlflow_http import MissingResource, TrackingServer
from releases.ports import Refused, RegisteredVersion

LARGEST_MLMODEL = 5_000_000


@dataclass(frozen=True, slots=True)
class MLflowConfig:
    """Where MLflow is; `page_size` is how many versions one answer of the list may hold."""

    url: str
    timeout: float = 15.0
    page_size: int = 500


@dataclass(frozen=True, slots=True)
class _Model:
    """What a version's source leads to."""

    location: str
    metrics: Mapping[str, float]


class MLflowRegistry:
    """A `ModelRegistry` on one tracking server."""

    def __init__(self, config: MLflowConfig) -> None:
        self._server = TrackingServer(config.url, config.timeout)
        self._page_size = config.page_size

    def list_versions(self, name: str) -> list[RegisteredVersion]:
        """All versions; two requests, and one more per further page."""
        try:
            model = self._server.get("registered-models/get", name=name)["registered_model"]
        except MissingResource:
            return []
        aliases: dict[str, list[str]] = {}
        for entry in model.get("aliases", []):
            aliases.setdefault(entry["version"], []).append(entry["alias"])
        query: dict[str, str | int] = {"filter": _filter(name), "max_results": self._page_size}
        versions: list[RegisteredVersion] = []
        while True:
            page = self._server.get("model-versions/search", **query)
            versions += [
                _version(entry, aliases.get(entry["version"], [])) for entry in page.get("model_versions", [])
            ]
            if not page.get("next_page_token"):
                return versions
            query["page_token"] = page["next_page_token"]

    def get_version(self, name: str, number: int) -> RegisteredVersion:
        """The version; its signature from the MLmodel file, metrics of its run and logged model."""
        entry = self._entry(name, number)
        model = self._resolve(entry["source"])
        metrics = {}
        if run_id := entry.get("run_id"):
            with contextlib.suppress(MissingResource):  # runs may be deleted, the version stays
                metrics = _metrics(self._run(run_id))
        mlmodel = self._mlmodel(model) if model else {}
        return _version(
            entry,
            entry.get("aliases", []),
            signature=read_signature(mlmodel),
            metrics={**metrics, **(model.metrics if model else {})},
            composition=_composition(mlmodel),
        )

    def register(
        self, name: str, run_id: str, artifact_path: str, tags: Mapping[str, str], description: str
    ) -> RegisteredVersion:
        """A new version, numbered by MLflow; the model must exist in the run."""
        source = self._source(run_id, artifact_path)
        try:
            self._server.get("registered-models/get", name=name)
        except MissingResource:
            self._create_model(name)
        body = {
            "name": name,
            "run_id": run_id,
            "description": description,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            **source,
        }
        created = self._server.post("model-versions/create", body)["model_version"]
        return self.get_version(name, int(created["version"]))

    def annotate(self, name: str, number: int, tags: Mapping[str, str], aliases: Sequence[str] = ()) -> None:
        """Tags first: a version under an alias has its tags already."""
        version = {"name": name, "version": str(number)}
        for key, value in tags.items():
            self._server.post("model-versions/set-tag", {**version, "key": key, "value": value})
        for alias in aliases:
            self._server.post("registered-models/alias", {**version, "alias": alias})

    def download(self, name: str, number: int, directory: Path) -> None:
        """The files through the server's proxy; `Refused` when there are none."""
        model = self._resolve(self._entry(name, number)["source"])
        if model is None or not self._server.download(model.location, directory):
            raise Refused(f"the artifact of {name} version {number} is gone from MLflow")

    def _entry(self, name: str, number: int) -> dict[str, Any]:
        answer = self._server.get("model-versions/get", name=name, version=str(number))
        entry: dict[str, Any] = answer["model_version"]
        return entry

    def _run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self._server.get("runs/get", run_id=run_id)["run"]
        return run

    def _create_model(self, name: str) -> None:
        try:
            self._server.post("registered-models/create", {"name": name})
        except Refused:  # another was first, or the name is bad: then this raises again
            self._server.get("registered-models/get", name=name)

    def _source(self, run_id: str, artifact_path: str) -> dict[str, str]:
        """The `source` (and `model_id`) of what the run logged under that name."""
        run = self._run(run_id)
        for model_id in _logged_models(run):
            if self._logged_model(model_id)["info"].get("name") == artifact_path:
                return {"source": f"models:/{model_id}", "model_id": model_id}
        location = f"{run['info']['artifact_uri']}/{artifact_path.strip('/')}"
        if not self._server.has_artifact(location, "MLmodel"):
            raise Refused(f"run {run_id} has no model at {artifact_path}")
        return {"source": location}

    def _logged_model(self, model_id: str) -> dict[str, Any]:
        model: dict[str, Any] = self._server.get(f"logged-models/{model_id}")["model"]
        return model

    def _resolve(self, source: str) -> _Model | None:
        """Where a source's files are; None when what it points at is gone."""
        kind, _, path = source.partition(":")
        try:
            if kind == "models":
                return self._resolve_model(path.strip("/"))
            if kind != "runs":
                return _Model(source, {})
            run_id, _, name = path.strip("/").partition("/")
            run = self._run(run_id)
            for model_id in _logged_models(run):
                logged = self._logged_model(model_id)
                if logged["info"].get("name") == name:
                    return _found(logged)
            return _Model(f"{run['info']['artifact_uri']}/{name}", {})
        except MissingResource:
            return None

    def _resolve_model(self, path: str) -> _Model | None:
        """`m-<id>`, or `<name>/<number>` for a version that was copied from another."""
        name, _, number = path.rpartition("/")
        if name and number.isdecimal():
            return self._resolve(self._entry(name, int(number))["source"])
        return _found(self._logged_model(path))

    def _mlmodel(self, model: _Model) -> Mapping[str, Any]:
        """What the MLmodel file says; empty when there is none any more, or it cannot be read."""
        if urlsplit(model.location).scheme != "mlflow-artifacts":
            return {}  # `download` says so in words
        try:
            return read_mlmodel(self._server.read_artifact(model.location, "MLmodel", LARGEST_MLMODEL))
        except MissingResource:
            return {}


def read_mlmodel(text: bytes) -> Mapping[str, Any]:
    """The content of an MLmodel file; empty when it is none."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def read_signature(mlmodel: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The signature, only the parts it has; None when there is none, or it is unreadable."""
    stored = mlmodel.get("signature")
    if not isinstance(stored, dict):
        return None
    try:
        parts = {
            part: json.loads(stored[part])
            for part in ("inputs", "outputs", "params")
            if isinstance(stored.get(part), str)
        }
    except ValueError:
        return None
    kept = {part: value for part, value in parts.items() if isinstance(value, list)}
    return kept or None


def _composition(mlmodel: Mapping[str, Any]) -> Mapping[str, Any] | None:
    metadata = mlmodel.get("metadata")
    found = metadata.get("composition") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def _filter(name: str) -> str:
    mark = '"' if "'" in name else "'"
    if mark in name:
        raise Refused("a model's name cannot contain both kinds of quotation marks")
    return f"name={mark}{name}{mark}"


def _logged_models(run: Mapping[str, Any]) -> list[str]:
    """The ids of the models that the run logged, the latest first."""
    outputs = run.get("outputs", {}).get("model_outputs", [])
    return [output["model_id"] for output in reversed(outputs)]


def _found(logged: Mapping[str, Any]) -> _Model:
    return _Model(logged["info"]["artifact_uri"], _metrics(logged))


def _metrics(holder: Mapping[str, Any]) -> dict[str, float]:
    """The latest finite metrics of a run or a logged model."""
    found = {}
    metrics = holder.get("data", {}).get("metrics", [])
    for metric in sorted(metrics, key=lambda one: (int(one["timestamp"]), int(one.get("step", 0)))):
        value = float(metric.get("value", 0.0))
        if math.isfinite(value):
            found[metric["key"]] = value
    return found


def _version(
    entry: Mapping[str, Any],
    aliases: Sequence[str],
    signature: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    composition: Mapping[str, Any] | None = None,
) -> RegisteredVersion:
    return RegisteredVersion(
        name=entry["name"],
        number=int(entry["version"]),
        run_id=entry.get("run_id", ""),
        source=entry["source"],
        created_at=datetime.fromtimestamp(int(entry["creation_timestamp"]) / 1000, UTC),
        tags={tag["key"]: tag.get("value", "") for tag in entry.get("tags", [])},
        aliases=tuple(sorted(aliases)),
        signature=signature,
        metrics=metrics or {},
        description=entry.get("description", ""),
        composition=composition,
    )
