"""The pipeline as ZenML runs it: each step one line of work, its result kept with the run.

Nothing is taken from ZenML's cache: a step that was skipped would not have asked the store, the registry or
the portal. What must not happen twice is kept from it by the run's id. Import this only once ZenML's
variables are set.
"""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from zenml import get_step_context, pipeline, step

from pipelines import bottles, releasing
from pipelines.wine import ARTIFACT_PATH
from serving.portal import Portal


@step
def materialise() -> Annotated[dict[str, int], "entities"]:
    """Features up to now, offline and online."""
    return bottles.materialise(_folder(), os.environ["FEATURE_ONLINE_URL"], datetime.now(UTC))


@step
def training_set(entities: dict[str, int]) -> Annotated[pd.DataFrame, "bottles"]:
    """Point in time: what is known now of every bottle."""
    return bottles.labelled(_folder(), os.environ["FEATURE_ONLINE_URL"], datetime.now(UTC))


@step
def train(rows: pd.DataFrame, run_id: str) -> Annotated[str, "mlflow_run"]:
    """A classifier in MLflow."""
    return bottles.train(rows, _key(run_id))


@step
def evaluate(rows: pd.DataFrame, mlflow_run: str) -> Annotated[dict[str, float], "metrics"]:
    """Held-out bottles say whether it is good enough to go on."""
    return bottles.evaluate(rows, mlflow_run)


@step
def register(
    mlflow_run: str, metrics: dict[str, float], model: str, change: str
) -> Annotated[str, "version"]:
    """A semantic version, from the portal."""
    return releasing.register(_portal(), model, mlflow_run, ARTIFACT_PATH, change)


@step
def file_release(
    version: str, model: str, environment: str, run_id: str
) -> Annotated[dict[str, Any], "release"]:
    """A release, filed under the id of the pipeline's run."""
    key = _key(run_id)
    return {**asdict(releasing.file_release(_portal(), model, version, environment, key)), "key": key}


@pipeline(enable_cache=False, name="bottles")
def release_bottles(model: str, environment: str, change: str, run_id: str) -> None:
    """From the feature store to a filed release. `run_id` is that of an earlier run to go on with; empty for
    a new one, which goes by the id that ZenML gives it."""
    rows = training_set(materialise())
    mlflow_run = train(rows, run_id)
    version = register(mlflow_run, evaluate(rows, mlflow_run), model, change)
    file_release(version, model, environment, run_id)


def _key(run_id: str) -> str:
    return run_id or str(get_step_context().pipeline_run.id)


def _folder() -> Path:
    return Path(os.environ["FEATURE_STORE"])


def _portal() -> Portal:
    portal = Portal.of(os.environ)
    if portal is None:
        raise RuntimeError("PORTAL_URL, PORTAL_TOKEN and PORTAL_TENANT were set when the pipeline began")
    return portal
