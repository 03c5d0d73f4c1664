"""An environment on the test cluster with versions of the model `wine` in it, and what others do to them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_api import Cluster, ClusterConfig, Manifest
from releases.adapters.seldon_place import SeldonPlace
from releases.adapters.target.seldon import SeldonTarget
from releases.domain.release import TargetState
from releases.ports import Deployment
from tests.cluster import rights
from tests.cluster.api import SELDON_DEPLOYMENT, VIRTUAL_SERVICE, until
from tests.cluster.conftest import TENANT, TestCluster

DIGEST = "sha256:" + "ab" * 32
SECRET_NAME = "mlops-portal-artifacts"


def production(cluster: TestCluster, namespace: str) -> SeldonPlace:
    """The environment `production` of the tenant, with the rights of deploy/rbac.yaml and no others."""
    rights.grant(cluster.api, [namespace])
    api_server = Cluster(ClusterConfig("test", str(cluster.portal)))
    return SeldonPlace(
        api_server, namespace, TENANT, "production", "s3://models/x", SECRET_NAME, start_seconds=60
    )


def version(number: str, digest: str = DIGEST, **changes: Any) -> Deployment:
    """A version of the model `wine`."""
    name = number.replace(".", "-")
    made = Deployment(
        f"acme-production-wine-v{name}-{digest[-8:]}", TENANT, "production", "wine", number, digest, Path()
    )
    return replace(made, **changes)


def ready(target: SeldonTarget, *deployments: Deployment) -> None:
    """Ensure all, and wait until they serve."""
    for one in deployments:
        target.ensure(one)
    refs = [one.ref for one in deployments]
    until(
        lambda: all(found.state is TargetState.READY for found in target.status(refs).values()),
        f"{refs} are ready",
    )


def seldon_deployment(cluster: TestCluster, place: SeldonPlace) -> Manifest:
    found = cluster.api.get(SELDON_DEPLOYMENT, "wine", place.namespace)
    assert found is not None
    return found


def set_traffic(cluster: TestCluster, place: SeldonPlace, **shares: int) -> None:
    """What a router does, by Seldon's own names."""

    def share(found: Manifest) -> None:
        for one in found["spec"]["predictors"]:
            one["traffic"] = shares[one["name"].replace("-", "_")]

    cluster.api.edit(SELDON_DEPLOYMENT, "wine", place.namespace, share)


def lead_to(cluster: TestCluster, place: SeldonPlace, **shares: int) -> None:
    """Our own VirtualService leads to these predictors."""
    to = [
        {
            "destination": {
                "host": seldon.host(f"wine-{name.replace('_', '-')}", place.namespace),
                "port": {"number": 8000},
            },
            "weight": share,
        }
        for name, share in shares.items()
    ]
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "portal-wine", "namespace": place.namespace},
        "spec": {"hosts": ["models.test"], "gateways": [place.istio_gateway], "http": [{"route": to}]},
    }
    cluster.api.apply(VIRTUAL_SERVICE, body, "tests")


def weight(cluster: TestCluster, place: SeldonPlace, predictor: str) -> int:
    """What the operator's VirtualService gives it; -1 before there is one."""
    found = cluster.api.get(VIRTUAL_SERVICE, "wine", place.namespace)
    return seldon.weights(found).get(seldon.host(f"wine-{predictor}", place.namespace), 0) if found else -1
