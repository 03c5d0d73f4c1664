"""A kubeconfig that does not let the portal in, and one that is put in its place."""

from pathlib import Path

import pytest
import yaml

from releases.adapters.kubernetes_api import Cluster, ClusterConfig
from releases.ports import Unreachable
from tests.cluster.conftest import TestCluster


@pytest.fixture
def file(cluster: TestCluster, tmp_path: Path) -> Path:
    """A kubeconfig of the cluster whose user cannot prove who it is."""
    described = yaml.safe_load(cluster.portal.read_text())
    for one in described["users"]:
        one["user"] = {"token": "expired"}
    made = tmp_path / "kubeconfig"
    made.write_text(yaml.safe_dump(described))
    return made


def test_replaced_kubeconfig_is_taken_up_without_a_restart(cluster: TestCluster, file: Path) -> None:
    asked = Cluster(ClusterConfig("test", str(file)))
    with pytest.raises(Unreachable, match="does not accept the portal's credentials"):
        asked.version()
    file.write_bytes(cluster.portal.read_bytes())
    assert asked.version().startswith("v1.")
