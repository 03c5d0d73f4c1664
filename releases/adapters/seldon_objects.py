"""What the portal's objects on Kubernetes are called and how they are read. Pure: no network.

Shared by all that works with SeldonDeployments: target, router, metric sources, preflight. One
SeldonDeployment is one endpoint, named like the model; one predictor in it is one version, named after it.
A predictor's labels and annotations never change while it lives: they reach the pods, and a change would
restart these. The roles of the split are annotations of the SeldonDeployment itself, which reach no pod.
"""

from collections.abc import Mapping
from typing import Any

from releases.domain.manifests import ownership
from releases.domain.manifests.names import GRAPH_NODE as GRAPH_NODE
from releases.domain.manifests.names import REF as REF
from releases.domain.manifests.names import autoscaler_name as autoscaler_name
from releases.domain.manifests.names import predictor_name as predictor_name
from releases.domain.manifests.names import seldon_deployment_name as seldon_deployment_name
from releases.domain.manifests.names import workload_name as workload_name
from releases.domain.manifests.ownership import ENVIRONMENT as ENVIRONMENT
from releases.domain.manifests.ownership import MANAGED_BY as MANAGED_BY
from releases.domain.manifests.ownership import MODEL as MODEL
from releases.domain.manifests.ownership import PORTAL as PORTAL
from releases.domain.manifests.ownership import TENANT as TENANT
from releases.domain.routing import Arm

Manifest = dict[str, Any]
Read = Mapping[str, Any]

OWN_PREFIX = "mlops-portal.io/"
# Annotations of a predictor.
DIGEST = "mlops-portal.io/digest"
VERSION = "mlops-portal.io/version"
# Annotations of a SeldonDeployment: the refs that play these parts; empty when nobody does.
STABLE = "mlops-portal.io/stable"
CANDIDATE = "mlops-portal.io/candidate"
# What Seldon's operator puts on all that it makes: the SeldonDeployment, and the predictor's Service.
SELDON_ID = "seldon-deployment-id"
SELDON_APP = "seldon-app"
SERVICE_NAME = "kubernetes.io/service-name"  # of an EndpointSlice

EXECUTOR = "seldon-container-engine"
EXECUTOR_PORT = 8000
LONGEST_NAME = 63


def service_name(seldon_deployment: str, predictor: str) -> str:
    """The Service of a predictor, that is of its executor."""
    return f"{seldon_deployment}-{predictor}"


def virtual_service_name(model: str) -> str:
    """Our own VirtualService of an endpoint; that of the operator is called like the SeldonDeployment."""
    return f"portal-{model}"


def host(service: str, namespace: str) -> str:
    """What a Service is called inside the cluster, and in a VirtualService's destinations."""
    return f"{service}.{namespace}.svc.cluster.local"


def address(seldon_deployment: str, predictor: str, namespace: str) -> str:
    """Where a predictor is reached."""
    return f"{host(service_name(seldon_deployment, predictor), namespace)}:{EXECUTOR_PORT}"


def selector(tenant: str, environment: str) -> str:
    """The label selector of all SeldonDeployments (and other objects of ours) of an environment."""
    return ownership.selector(tenant, environment)


def labels(tenant: str, environment: str, model: str) -> dict[str, str]:
    """The labels by which an object is known to be ours."""
    return {**ownership.labels(tenant, environment), MODEL: model}


def is_of(found: Read, tenant: str, environment: str) -> bool:
    """Whether an object is the portal's, for this environment of this tenant."""
    has = label(found)
    return (has.get(MANAGED_BY), has.get(TENANT), has.get(ENVIRONMENT)) == (PORTAL, tenant, environment)


def name(found: Read) -> str:
    return str(found["metadata"]["name"])


def label(found: Read) -> Mapping[str, str]:
    """The labels of an object."""
    return found["metadata"].get("labels") or {}


def annotation(found: Read) -> Mapping[str, str]:
    """The annotations of an object."""
    return found["metadata"].get("annotations") or {}


def predictors(seldon_deployment: Read) -> list[Manifest]:
    """In their order, also those that are not ours."""
    return list((seldon_deployment.get("spec") or {}).get("predictors") or [])


def ref(predictor: Read) -> str:
    """What the portal calls it; empty for a predictor that is not ours."""
    return str((predictor.get("labels") or {}).get(REF, ""))


def digest(predictor: Read) -> str | None:
    """What it says it serves."""
    found = (predictor.get("annotations") or {}).get(DIGEST)
    return None if found is None else str(found)


def traffic(predictor: Read) -> int:
    """Its share as it stands in the SeldonDeployment."""
    return int(predictor.get("traffic") or 0)


def predictor(seldon_deployment: Read, wanted: str) -> Manifest | None:
    """The predictor with this ref."""
    return next((one for one in predictors(seldon_deployment) if wanted and ref(one) == wanted), None)


def arm(seldon_deployment: Read, wanted: str, namespace: str) -> Arm | None:
    """The predictor with this ref as something that may receive traffic."""
    found = predictor(seldon_deployment, wanted)
    if found is None:
        return None
    return Arm(wanted, address(name(seldon_deployment), str(found["name"]), namespace))


def roles(seldon_deployment: Read) -> tuple[str, str]:
    """The refs of stable and candidate; empty where nobody plays the part."""
    has = annotation(seldon_deployment)
    return has.get(STABLE, ""), has.get(CANDIDATE, "")


def ours(found: Read) -> Manifest:
    """What the portal says of an object: the rest is the API server's or somebody else's."""
    metadata = found["metadata"]
    kept: Manifest = {"name": metadata["name"], "namespace": metadata["namespace"]}
    for part in ("labels", "annotations"):
        said = metadata.get(part) or {}
        own = {key: said[key] for key in sorted(said) if key.startswith(OWN_PREFIX) or key == MANAGED_BY}
        if own:
            kept[part] = own
    spec = dict(found["spec"])
    if found["kind"] == "SeldonDeployment":
        spec = {key: spec[key] for key in ("protocol", "predictors") if key in spec}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": kept, "spec": spec}


def on_condition(wanted: Read, found: Read) -> Manifest:
    """The object to apply only if `found` is still what is there."""
    version = found["metadata"]["resourceVersion"]
    return {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}


def weights(virtual_service: Read) -> dict[str, int]:
    """Host -> the largest share that any HTTP route gives it at the executor's HTTP port: 100 where a route
    leads to one place only. A weight of 0 is left out of what the operator writes."""
    found: dict[str, int] = {}
    for route in _http_routes(virtual_service):
        to = route.get("route") or []
        for one in to:
            place = one.get("destination") or {}
            if (place.get("port") or {}).get("number", EXECUTOR_PORT) == EXECUTOR_PORT:
                share = 100 if len(to) == 1 and "weight" not in one else int(one.get("weight") or 0)
                found[str(place.get("host"))] = max(found.get(str(place.get("host")), 0), share)
    return found


def mentions(virtual_service: Read) -> set[str]:
    """All hosts that requests may go to, mirrored ones included, whatever their weight."""
    places = []
    for route in _http_routes(virtual_service):
        places += [one.get("destination") for one in route.get("route") or []]
        places += [route.get("mirror"), *(one.get("destination") for one in route.get("mirrors") or [])]
    return {str(place["host"]) for place in places if place}


def _http_routes(virtual_service: Read) -> list[Manifest]:
    return list((virtual_service.get("spec") or {}).get("http") or [])
