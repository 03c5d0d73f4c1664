"""The kinds of objects that a cluster must know: Istio's from its Go module, Seldon's from a file.

SELDON_CRD says where the definition of SeldonDeployment is: Seldon Core's own, Apache-2.0, kept outside of
this tree. Istio's come with the module `istio.io/api`, by the ordinary client of Go.
"""

import json
import os
import subprocess
from pathlib import Path

import yaml

from releases.adapters.kubernetes_api import Manifest
from tests.cluster.api import DEFINITION, Api, until

ISTIO = "istio.io/api@v1.31.1"
SELDON = os.environ.get("SELDON_CRD", "")
MANAGER = "tests"


class Missing(Exception):
    """A definition cannot be had; the text says why and what to do."""


def seldon() -> list[Manifest]:
    """The definition of SeldonDeployment."""
    if not SELDON:
        raise Missing(
            "SELDON_CRD is not set: it has to name the file with the definition of SeldonDeployment"
        )
    file = Path(SELDON)
    if not file.is_file():
        raise Missing(f"SELDON_CRD names {file}, which does not exist")
    return _documents(file)


def istio() -> list[Manifest]:
    """The definitions of VirtualService, AuthorizationPolicy and the others."""
    asked = ["go", "mod", "download", "-json", ISTIO]
    answer = subprocess.run(asked, check=False, capture_output=True, text=True)
    if answer.returncode:
        raise Missing(f"{' '.join(asked)} failed: {answer.stderr or answer.stdout}")
    folder = Path(json.loads(answer.stdout)["Dir"])
    return _documents(folder / "kubernetes/customresourcedefinitions.gen.yaml")


def define(api: Api, definitions: list[Manifest]) -> None:
    """Make an API server know kinds, unless it does already, and wait until it serves them."""
    names = [each["metadata"]["name"] for each in definitions]
    for definition in definitions:
        if api.get(DEFINITION, definition["metadata"]["name"]) is None:
            api.apply(DEFINITION, definition, MANAGER)
    for name in names:
        until(lambda name=name: _is_served(api, name), f"{name} is served")  # type: ignore[misc]


def _is_served(api: Api, name: str) -> bool:
    found = api.get(DEFINITION, name) or {}
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _documents(file: Path) -> list[Manifest]:
    return [each for each in yaml.load_all(file.read_text(), yaml.CSafeLoader) if each]
