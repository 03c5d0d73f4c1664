"""The stand-in for Seldon's operator makes what the real one made: held against recordings of it.

The recordings (operator 1.17.1 on a kubebox) lie beside the definition of SeldonDeployment: SELDON_GOLDEN
says where. What an API server invents (identities, times, addresses) is left out of the comparison.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from releases.adapters.kubernetes_api import Kind, Manifest
from tests.cluster.api import (
    AUTOSCALER,
    DEPLOYMENT,
    DESTINATION_RULE,
    NAMESPACE,
    SELDON_DEPLOYMENT,
    SERVICE,
    VIRTUAL_SERVICE,
    until,
)
from tests.cluster.conftest import TestCluster

GOLDEN = Path(os.environ.get("SELDON_GOLDEN", "missing"))
pytestmark = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="SELDON_GOLDEN does not name a folder with recordings of the real operator"
)
INVENTED = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}
INVENTED |= {"clusterIP", "clusterIPs", "lastTransitionTime", "lastUpdateTime"}
BOOKKEEPING = {"seldon.io/last-applied", "kubectl.kubernetes.io/last-applied-configuration"}


@pytest.fixture(scope="module")
def seldon(cluster: TestCluster) -> Manifest:
    """sd.yaml, applied; in the namespace of the recordings, because it is in every name."""
    if not cluster.operator:
        pytest.skip("the cluster has the real operator")
    (asked,) = _recorded("sd")
    namespace = asked["metadata"]["namespace"]
    cluster.api.create(NAMESPACE, {"metadata": {"name": namespace}})
    cluster.api.create(SELDON_DEPLOYMENT, asked, namespace)
    return until(lambda: _available(cluster, asked), "the SeldonDeployment is available")


@pytest.mark.parametrize(
    ("recording", "kind"),
    [
        ("deploy", DEPLOYMENT),
        ("svc", SERVICE),
        ("vs", VIRTUAL_SERVICE),
        ("dr", DESTINATION_RULE),
        ("sdep", SELDON_DEPLOYMENT),
    ],
)
def test_stand_in_makes_what_the_operator_made(
    cluster: TestCluster, seldon: Manifest, recording: str, kind: Kind
) -> None:
    made = cluster.api.list(kind, seldon["metadata"]["namespace"])
    assert [_plain(item) for item in made] == [_plain(item) for item in _recorded(recording)]


def test_stand_in_makes_the_autoscaler_that_the_operator_made(cluster: TestCluster, seldon: Manifest) -> None:
    """The recording was taken before the autoscaler had been looked at: its status is empty."""
    made = cluster.api.list(AUTOSCALER, seldon["metadata"]["namespace"])
    wanted = _recorded("hpa")
    for item in (*made, *wanted):
        del item["status"]
    assert [_plain(item) for item in made] == [_plain(item) for item in wanted]


def _recorded(name: str) -> list[Manifest]:
    content = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())
    return list(content["items"]) if content["kind"] == "List" else [content]


def _available(cluster: TestCluster, asked: Manifest) -> Manifest | None:
    """Once all conditions are met: `state` says so a moment earlier."""
    meta = asked["metadata"]
    found = cluster.api.get(SELDON_DEPLOYMENT, meta["name"], meta["namespace"]) or {}
    conditions = (found.get("status") or {}).get("conditions", [])
    return found if conditions and all(each["status"] == "True" for each in conditions) else None


def _plain(value: Any) -> Any:
    """Without what the API server invents, and with the executor's predictor in plain text."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("name") == "ENGINE_PREDICTOR":
        return {"predictor": _plain(json.loads(base64.b64decode(value["value"])))}
    kept = {key: _plain(each) for key, each in value.items() if key not in INVENTED | BOOKKEEPING}
    kept.pop("kind", None)
    kept.pop("apiVersion", None)
    if kept.get("annotations") == {}:
        del kept["annotations"]
    if kept.get("message", "").startswith("ReplicaSet "):
        del kept["message"]  # with a hash in it
    return kept
