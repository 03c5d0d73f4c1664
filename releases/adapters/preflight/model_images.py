"""Whether a model server's image can load what MLflow has saved. Pure.

Read in MLServer's lock files: its published images up to 1.7.1 hold MLflow 2 (1.4.0: 2.10, 1.5.0: 2.11,
1.6.1: 2.16, 1.7.1: 2.20), and MLflow 2 does not load what MLflow 3 saves. What another image holds, nobody
can see.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SERVER, PROTOCOL = "MLFLOW_SERVER", "v2"
_PUBLISHED = re.compile(r"(?:.*/)?seldonio/mlserver:(\d+)\.(\d+)\.(\d+)(?:-[\w.-]+)?", re.ASCII)
LAST_WITH_MLFLOW_2 = (1, 7, 1)
_VERSION = re.compile(r"(\d+)\.", re.ASCII)


def mlflow_version(artifact: Path) -> str:
    """The version of MLflow that saved a model; empty when it does not say."""
    try:
        described = yaml.safe_load((artifact / "MLmodel").read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(described.get("mlflow_version") or "") if isinstance(described, dict) else ""


def default_image(settings: Mapping[str, Any]) -> str:
    """The image that the operator gives to MLflow models, of its ConfigMap `seldon-config`; empty when it
    does not say."""
    try:
        servers = json.loads((settings.get("data") or {})["predictor_servers"])
        told = servers[SERVER]["protocols"][PROTOCOL]
        version = told.get("defaultImageVersion") or ""
        return f"{told['image']}:{version}" if version else str(told["image"])
    except (KeyError, TypeError, ValueError):
        return ""


def misfit(image: str, saved_by: str, *, is_default: bool) -> str:
    """Why the image cannot load a model that this MLflow has saved; empty when it can, or nobody knows."""
    published, saved = _PUBLISHED.fullmatch(image), _VERSION.match(saved_by)
    if not published or not saved or int(saved[1]) < 3:
        return ""
    if tuple(int(part) for part in published.groups()) > LAST_WITH_MLFLOW_2:
        return ""
    whose = "the image that the operator is set up with" if is_default else "the environment's image"
    return (
        f"{whose}, {image}, holds MLflow 2, and the model was saved by MLflow {saved_by}: it would not load. "
        f"Set the environment's model image to one with MLServer and MLflow {saved_by} or newer; "
        "deploy/Dockerfile.models makes one"
    )
