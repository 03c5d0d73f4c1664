"""Connection, autoscaling and network policy of an environment as plain JSON values: for the API's answers
and the audit log. Nothing in it is secret: secrets are named, never read."""

from dataclasses import asdict
from typing import Any

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.network import Callers, NetworkRules
from releases.models import Environment, KubernetesPlace
from releases.services.document import moment
from releases.services.scaling import Scaling


def of_connection(connection: KubernetesConnection | None) -> dict[str, Any] | None:
    """Where it is and what its pods are made of."""
    return None if connection is None else asdict(connection)


def of_autoscaling(wanted: Autoscaling | None) -> dict[str, Any] | None:
    """A policy; None: nothing of its own."""
    return None if wanted is None else asdict(wanted)


def of_protection(network: NetworkRules | None, callers: Callers) -> dict[str, Any]:
    """`policy` null: the namespace is left open."""
    shown = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(callers).items()
    }
    return {"policy": None if network is None else asdict(network), "callers": shown}


def of_kubernetes(place: KubernetesPlace | None) -> dict[str, Any] | None:
    """The connection and what the workers last saw there."""
    if place is None:
        return None
    return {
        **asdict(place.connection),
        "drift": place.drift,
        "looked_at": moment(place.looked_at),
        "findings": place.findings,
        "examined_at": moment(place.examined_at),
    }


def of_scaling(environment: Environment, policies: Scaling, names: dict[int, str]) -> dict[str, Any]:
    """The environment's default, and the models (pk -> name) that have a policy of their own."""
    own = {
        names[model]: asdict(wanted)
        for (at, model), wanted in policies.policies.items()
        if at == environment.pk and model in names
    }
    return {"default": asdict(policies.default(environment)), "models": dict(sorted(own.items()))}
