"""The whole embedded stack with its environment `staging` on a cluster: what a release over REST needs.

Everything of the portal is real, its processes included; MLflow, PostgreSQL, Redis and S3 as well. Played are
Seldon's operator, Istio's gateway and the pods (see `seldon_operator`, `mesh_gateway`, `executors`).
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_portal.demo.portal import Ci, Person, cast_of, checked
from mlops_portal.demo.traffic import Traffic
from mlops_portal.demo.training import Training
from mlops_portal.stack.leftovers import stack_processes
from mlops_portal.stack.stack import Stack
from mlops_portal.stack.steps import manage
from releases.adapters.kubernetes_api import SECRET
from tests.cluster import pods, rights
from tests.cluster.conftest import TestCluster
from tests.cluster.executors import Executors
from tests.cluster.mesh_gateway import MeshGateway
from tests.cluster.s3 import S3Server, s3
from tests.e2e.conftest import Live

__all__ = ["s3"]

ENVIRONMENT, SECRET_NAME, BUCKET = "staging", "model-artifacts", "models"
RATE = 20


@dataclass(kw_only=True)
class ClusterLive(Live):
    """A `Live` whose versions serve on a cluster."""

    cluster: TestCluster
    namespace: str
    executors: Executors
    gateway: MeshGateway
    ada: Person

    def uids(self, version: str) -> set[str]:
        """The pods of a version."""
        selector = f"seldon-app=wine-v{version.replace('.', '-')}"
        found = self.cluster.api.list(pods.POD, self.namespace, selector)
        return {pod["metadata"]["uid"] for pod in found if not pod["metadata"].get("deletionTimestamp")}

    def follow(self, release_id: str, kills: dict[str, list[str]]) -> dict[str, Any]:
        """As that of a `Live`; when it fails, the release's history is what explains it."""
        try:
            return super().follow(release_id, kills)
        except AssertionError as error:
            lines = [f"{line['to_phase']}: {line['reason']}" for line in self.ci.transitions(release_id)]
            raise AssertionError("\n".join([str(error), *lines])) from error

    def page(self, release_id: str) -> str:
        """The release's page, as an administrator sees it."""
        answer = self.ada.http.get(f"/t/acme/releases/{release_id}/")
        answer.raise_for_status()
        return answer.text


@pytest.fixture(scope="session")
def live(cluster: TestCluster, s3: S3Server) -> Iterator[ClusterLive]:
    """Started once; `staging` is a namespace of the cluster, where 1.0.0 is stable."""
    var = Path(tempfile.mkdtemp(prefix="mlops-cluster-e2e-"))
    var.chmod(0o711)
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, var, ignore_errors=True)
        namespace = ends.enter_context(cluster.namespace())
        executors = Executors(cluster.api)
        ends.callback(executors.stop)
        gateway = MeshGateway(cluster.api, executors)
        ends.callback(gateway.stop)
        stack = Stack(var, given=_settings(var, cluster, s3, executors))
        ends.callback(_end, stack)
        stack.start()
        manage(stack, "demo_cast")
        training = Training(stack.environment(), var / "training.log", var / "rows.jsonl")
        ends.callback(training.stop)
        cast = cast_of(var / "demo.json")
        ci, ada = Ci(cast), Person(cast, "ada")
        for caller in (ci, ada):  # the portal waits for connections that are open when it ends
            ends.callback(caller.http.close)
        living = ClusterLive(
            stack=stack,
            ci=ci,
            training=training,
            cluster=cluster,
            namespace=namespace,
            executors=executors,
            gateway=gateway,
            ada=ada,
        )
        rights.grant(cluster.api, [namespace])
        (s3.folder / BUCKET).mkdir(exist_ok=True)
        cluster.api.create(
            SECRET, {"metadata": {"name": SECRET_NAME}, "stringData": dict(s3.secret)}, namespace
        )
        connect(living)
        # A first version is watched at 100 % for the grace time: long enough to kill while promoting.
        first = living.release("baseline", "major", {"steps": [], "grace_seconds": 4})
        first = living.follow(first, {"promoting": ["worker-control", "beat"]})
        assert first["phase"] == "succeeded", first["reason"]
        yield living


def connect(live: ClusterLive) -> None:
    """An administrator connects the environment to the namespace, over REST."""
    connection: dict[str, Any] = {
        "cluster": "test",
        "namespace": live.namespace,
        "gateway_url": live.gateway.url,
        "artifacts": f"s3://{BUCKET}/acme",
        "artifacts_secret": SECRET_NAME,
        "model_image": "models.test/mlserver:mlflow-3",
        "metrics_from": "executor",
    }
    answer = live.ada.http.patch(
        f"/api/v1/tenants/acme/environments/{ENVIRONMENT}/", json={"kubernetes": connection}
    )
    checked(answer)


@contextlib.contextmanager
def traffic(live: ClusterLive, rate: float = RATE) -> Iterator[Traffic]:
    """Callers at the gateway, as long as this lasts."""
    endpoint = live.endpoint()
    flowing = Traffic(f"{endpoint['url']}/infer", endpoint["headers"], live.training.await_rows(), rate)
    flowing.start()
    try:
        yield flowing
    finally:
        flowing.stop()


def _settings(var: Path, cluster: TestCluster, s3: S3Server, executors: Executors) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PORTS": "auto",
        "PORTAL_VAR": str(var),
        "KUBERNETES_CLUSTERS": f"test={cluster.portal}",
        "KUBERNETES_POD_PROXY": executors.proxy,
        "ARTIFACTS_S3_ENDPOINT": s3.endpoint,
        **s3.environment,
    }


def _end(stack: Stack) -> None:
    stack.stop()
    left = stack_processes(stack.layout.var)
    assert not left, f"left behind: {left}"
