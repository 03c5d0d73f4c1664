"""Renders an ensemble as a graph of Seldon Core 1.17: a combiner, with the members as its children.

    python -m serving graph SPEC.yaml --image IMAGE --models 's3://models/{model}/{version}'

The members are containers of one pod and answer in parallel. What the graph has not: blocks, a quorum (one
failing member fails the request), and a place in the portal, which releases the composed form. Pure: no
registry, no cluster.
"""

import argparse
import re
import string
import sys
from pathlib import Path
from typing import Any

import yaml

from serving import spec
from serving.combiner import PORT
from serving.errors import Problem, Refused

Manifest = dict[str, Any]
FIRST_METRICS_PORT = 6000
COMBINER = "combiner"
MODEL_FOLDER = "/mnt/models"
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_FIELDS = {"name", "model", "version"}


def manifest(asked: spec.Spec, image: str, models: str, name: str, secret: str = "") -> Manifest:
    """The SeldonDeployment. `models` is where the files of a member are, with {name}, {model} and {version}
    in it; `image` runs this package; `secret` holds the keys of the artifact store.

    Raises `Problem` for what a graph cannot be."""
    _check(asked)
    members = asked.core["members"]
    # Ports are said, not left to the operator: it numbers them by position, and a new number is a restart.
    containers = [_container(COMBINER, image, 0, [])]
    containers += [
        _container(member, image, position, ["--model", MODEL_FOLDER])
        for position, member in enumerate(members, start=1)
    ]
    graph = {
        "name": COMBINER,
        "type": "COMBINER",
        "endpoint": {"type": "REST"},
        "parameters": _parameters(asked),
        "children": [
            _member(member, models.format(name=member, model=each["model"], version=each["version"]), secret)
            for member, each in members.items()
        ],
    }
    predictor = {
        "name": "default",
        "replicas": 1,
        "traffic": 100,
        "graph": graph,
        "componentSpecs": [{"spec": {"automountServiceAccountToken": False, "containers": containers}}],
    }
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name},
        "spec": {"name": name, "protocol": "seldon", "transport": "rest", "predictors": [predictor]},
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m serving graph`."""
    parser.description = "Render an ensemble as a SeldonDeployment with a combiner, YAML."
    parser.add_argument("spec", type=Path, help="the spec of an ensemble, YAML")
    parser.add_argument("--image", required=True, help="image of deploy/Dockerfile.models")
    parser.add_argument("--models", required=True, metavar="URI", help="as s3://models/{model}/{version}")
    parser.add_argument("--name", help="of the SeldonDeployment; else the model's")
    parser.add_argument(
        "--secret", default="", help="with the keys of the artifact store, as rclone reads it"
    )


def run(options: argparse.Namespace) -> int:
    """Render to the standard output."""
    _check_address(options.models)
    asked = spec.load(options.spec)
    name = options.name or asked.model
    if not _LABEL.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be the name of a SeldonDeployment: lower-case letters, digits, dashes"
        )
    try:
        rendered = manifest(asked, options.image, options.models, name, options.secret)
    except Problem as problem:
        raise asked.bad([problem]) from problem
    sys.stdout.write(yaml.safe_dump(rendered, sort_keys=False))
    return 0


def _check(asked: spec.Spec) -> None:
    core = asked.core
    if core["kind"] != "ensemble":
        raise Problem(("core", "kind"), f"only an ensemble can be a graph, not a {core['kind']}")
    if "at_least" in core.get("on_failure", {}):
        words = "a graph has no quorum: Seldon fails the request when one member fails"
        raise Problem(("core", "on_failure"), words)
    for key in asked.blocks:
        raise Problem((key,), f"a graph has no {key}: compose the model instead")
    if COMBINER in core["members"]:
        raise Problem(("core", "members", COMBINER), "this name is the combiner's own in a graph")


def _check_address(models: str) -> None:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(models) if field is not None}
    except ValueError as error:
        raise Refused(f"--models {models!r}: {error}") from error
    if not fields & {"name", "model"} or fields - _FIELDS:
        raise Refused(f"--models {models!r} has to hold {{model}} or {{name}}, may hold {{version}}, no more")


def _parameters(asked: spec.Spec) -> list[Manifest]:
    """What the combiner is started with."""
    members = asked.core["members"]
    values = {"combine": asked.core["combine"], "members": ",".join(members)}
    weights = [str(each["weight"]) for each in members.values() if "weight" in each]
    if weights:
        values["weights"] = ",".join(weights)
    return [{"name": key, "value": value, "type": "STRING"} for key, value in values.items()]


def _member(name: str, address: str, secret: str) -> Manifest:
    made = {
        "name": name,
        "type": "MODEL",
        "implementation": "MLFLOW_SERVER",  # for its init container, which fetches the files
        "modelUri": address,
        "endpoint": {"type": "REST"},
        "children": [],
    }
    return made | ({"envSecretRefName": secret} if secret else {})


def _container(name: str, image: str, position: int, arguments: list[str]) -> Manifest:
    port = PORT + position
    return {
        "name": name,
        "image": image,
        "command": ["python", "-m", "serving.combiner", "--port", str(port), *arguments],
        "ports": [
            {"name": "http", "containerPort": port, "protocol": "TCP"},
            {"name": "metrics", "containerPort": FIRST_METRICS_PORT + position, "protocol": "TCP"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": "http"},
            "initialDelaySeconds": 2,
            "periodSeconds": 5,
        },
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": "http"},
            "initialDelaySeconds": 60,
            "periodSeconds": 10,
        },
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    }
