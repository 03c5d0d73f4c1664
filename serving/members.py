"""Finds the members of a composed model in MLflow's registry, and copies what is pinned.

A semantic version is the tag `semantic_version` of a registered version, as the portal sets it. Knows
MLflow's registry, and nothing of what the members are for.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.entities import PagedList

from serving.composition import Member
from serving.digests import digest
from serving.errors import Place, Problem, Unreachable

TAG = "semantic_version"
LONGEST_LIST = 20
_MISSING = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def resolve(
    client: MlflowClient, name: str, wanted: Mapping[str, Any], place: Place, weight: float | None
) -> Member:
    """The registered version that a spec asks for; without its digest, which comes with its files.

    Raises `Problem` when there is no such version, or more than one, and `Unreachable`."""
    model, version = wanted["model"], wanted["version"]
    with _registry(f"look for {model} {version}"):
        known = _versions(client, model)
        found = [each for each in known if each.tags.get(TAG) == version]
        if not known and not _exists(client, model):
            raise Problem((*place, "model"), f"the registry has no model named {model!r}")
    if not found:
        have = [each.tags[TAG] for each in known if TAG in each.tags]
        has = f"it has {', '.join(have[:LONGEST_LIST])}" if have else "it has no semantic version at all"
        raise Problem((*place, "version"), f"{model} has no version {version} in the registry; {has}")
    if len(found) > 1:
        numbers = " and ".join(str(each.version) for each in found)
        raise Problem((*place, "version"), f"{version} of {model} is not one version: {numbers} claim it")
    return Member(name, model, version, int(found[0].version), "", weight)


def copy(client: MlflowClient, member: Member, folder: Path, place: Place) -> str:
    """Copy the files of a registered version into a folder, which is made; returns their digest."""
    with _registry(f"fetch {member.model} {member.version}"):
        try:
            uri = client.get_model_version_download_uri(member.model, str(member.registry_version))
            with TemporaryDirectory(dir=folder.parent) as fetched:
                # MLflow puts it into a folder of its own, named after the last part of the address.
                Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=fetched)).rename(folder)
        except MlflowException as error:
            if error.error_code != _MISSING:
                raise
            gone = f"{member.model} {member.version} is gone from the registry: {error.message}"
            raise Problem((*place, "version"), gone) from error
    if not (folder / "MLmodel").is_file():
        raise Problem((*place, "version"), f"the files of {member.model} {member.version} hold no MLmodel")
    return digest(folder)


def _versions(client: MlflowClient, model: str) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token: str | None = None
    while token is None or token:
        page: PagedList[ModelVersion] = client.search_model_versions(f"name='{model}'", page_token=token)
        found += page
        token = page.token or ""
    return found


def _exists(client: MlflowClient, model: str) -> bool:
    try:
        client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code == _MISSING:
            return False
        raise
    return True


@contextmanager
def _registry(doing: str) -> Iterator[None]:
    """What MLflow's client raises, as one kind of trouble in words."""
    try:
        yield
    except (MlflowException, OSError) as error:
        raise Unreachable(f"MLflow could not {doing}: {' '.join(str(error).split())[:500]}") from error
