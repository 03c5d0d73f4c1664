"""What a version's objects on Seldon Core are called. Pure.

One SeldonDeployment is one endpoint, named like the model; one predictor in it is one version, and named
after it.
"""

import re

GRAPH_NODE = "model"  # of the only node of the graph, and so of its container
REF = "mlops-portal.io/ref"  # label of a predictor, and so of its Deployment, its pods and its autoscaler


def seldon_deployment_name(model: str) -> str:
    """The SeldonDeployment of an endpoint."""
    return model


def predictor_name(version: str) -> str:
    """The predictor of a version: 1.4.0 is v1-4-0, 2.0.0-rc.1 is v2-0-0-rc-1."""
    return "v" + re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")


def workload_name(seldon_deployment: str, predictor: str) -> str:
    """The Deployment of a predictor."""
    return f"{seldon_deployment}-{predictor}-0-{GRAPH_NODE}"


def autoscaler_name(seldon_deployment: str, predictor: str) -> str:
    """The HorizontalPodAutoscaler of a predictor. Ours, and not called like the Deployment: the operator
    deletes an autoscaler of that name when the SeldonDeployment has no hpaSpec."""
    return f"portal-{seldon_deployment}-{predictor}"
