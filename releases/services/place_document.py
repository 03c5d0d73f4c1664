"""Environments as plain JSON values: policy, connection, autoscaling, network policy; for the API's answers
and the audit log. Nothing in it is secret: secrets are named, never read."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.conf import settings

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.network import Callers, NetworkRules
from releases.models import AutoscalingPolicy, Environment, KubernetesPlace
from releases.services.document import moment


def of_environments(environments: Iterable[Environment]) -> list[dict[str, Any]]:
    """Environments that were read with `requires_success_in`; two queries more for all of them."""
    known = list(environments)
    places = {row.environment_id: row for row in KubernetesPlace.objects.filter(environment__in=known)}
    policies: dict[int, list[AutoscalingPolicy]] = {}
    for row in AutoscalingPolicy.objects.filter(environment__in=known).select_related("model"):
        policies.setdefault(row.environment_id, []).append(row)
    return [_environment(one, places.get(one.pk), policies.get(one.pk, [])) for one in known]


def _environment(
    environment: Environment, place: KubernetesPlace | None, policies: list[AutoscalingPolicy]
) -> dict[str, Any]:
    earlier = environment.requires_success_in
    return {
        "name": environment.name,
        "position": environment.position,
        "target": environment.target,
        "gateway": place.gateway_url if place else settings.GATEWAY_URL,
        "approvals_required": environment.approvals_required,
        "approval_ttl_seconds": environment.approval_ttl_seconds,
        "requires_success_in": None if earlier is None else earlier.name,
        "metric_tolerance": environment.metric_tolerance,
        "default_plan": environment.plan().to_json(),
        "kubernetes": _kubernetes(place) if place else None,
        "autoscaling": _autoscaling(policies) if place else None,
        "network": of_protection(place.network_rules, place.callers) if place else None,
    }


def _kubernetes(place: KubernetesPlace) -> dict[str, Any]:
    """The connection and what the workers last saw there."""
    return {
        **asdict(place.connection),
        "drift": place.drift,
        "looked_at": moment(place.looked_at),
        "findings": place.findings,
        "examined_at": moment(place.examined_at),
    }


def _autoscaling(policies: list[AutoscalingPolicy]) -> dict[str, Any]:
    """What models get, and those that have a policy of their own."""
    default = next((row.value() for row in policies if row.model is None), Autoscaling())
    own = {row.model.name: asdict(row.value()) for row in policies if row.model is not None}
    return {"default": asdict(default), "models": dict(sorted(own.items()))}


def of_connection(connection: KubernetesConnection | None) -> dict[str, Any] | None:
    """Where it is and what its pods are made of."""
    return None if connection is None else asdict(connection)


def of_autoscaling(wanted: Autoscaling | None) -> dict[str, Any] | None:
    """A policy; None: nothing of its own."""
    return None if wanted is None else asdict(wanted)


def of_protection(network: NetworkRules | None, callers: Callers) -> dict[str, Any]:
    """`policy` null: the namespace is left open."""
    shown = {
        key: list(value) if isinstance(value, tuple) else value for key, value in asdict(callers).items()
    }
    return {"policy": None if network is None else asdict(network), "callers": shown}
