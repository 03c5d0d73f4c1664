"""Wraps the data keys of encrypted models under a new key, without encrypting the models again.

    MODEL_ENCRYPTION_KEY=new,old python -m serving rotate TARGET...

A TARGET is the folder of a model, or models:/NAME/NUMBER in the registry (MLFLOW_TRACKING_URI). Copies that
were made before, such as those that model servers load, keep opening with the old key: leave it in the
variable of the servers until they are rotated or gone. Knows where the one file is that changes.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from serving.encryption import KEY_PATH, rotate
from serving.errors import CannotLoad, Unreachable

REGISTERED = re.compile(r"models:/(?P<name>[^/]+)/(?P<number>[0-9]+)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m serving rotate`."""
    parser.description = "Wrap the keys of encrypted models under the first of MODEL_ENCRYPTION_KEY."
    parser.add_argument(
        "targets", nargs="+", metavar="TARGET", help="a model's folder, or models:/NAME/NUMBER"
    )


def run(options: argparse.Namespace) -> int:
    """One JSON line for each target that was rotated. What cannot be is said, and the others go on."""
    failed = False
    for target in options.targets:
        try:
            registered = REGISTERED.fullmatch(target)
            if registered:
                rotate_registered(registered["name"], registered["number"])
            else:
                rotate(Path(target))
        except CannotLoad as error:
            sys.stderr.write(f"{target}: {error}\n")
            failed = True
        else:
            sys.stdout.write(json.dumps({"rotated": target}) + "\n")
    return 2 if failed else 0


def rotate_registered(name: str, number: str) -> None:
    """Fetch the one file of a registered version, wrap it anew, put it back.

    Raises CannotLoad, and Unreachable when the registry is in the way."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder)
        key = model / KEY_PATH
        with _registry(f"fetch {KEY_PATH} of models:/{name}/{number}"):
            source = MlflowClient().get_model_version_download_uri(name, number)
            download_artifacts(artifact_uri=f"{source}/{KEY_PATH}", dst_path=str(key.parent))
        rotate(model)
        with _registry(f"take the new {KEY_PATH} of models:/{name}/{number}"):
            repository: Any = get_artifact_repository(source)  # MLflow's own has no types
            repository.log_artifact(str(key), str(Path(KEY_PATH).parent))


@contextmanager
def _registry(doing: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, OSError) as error:
        raise Unreachable(f"MLflow could not {doing}: {' '.join(str(error).split())[:500]}") from error
