"""Everything of an environment in one change, as the API asks for it: any subset of each part, laid over what
is in force. All of it is done, or none."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.errors import Conflict, Invalid, NotFound
from releases.domain.network import NetworkRules
from releases.models import Environment, KubernetesPlace
from releases.services import find
from releases.services.commands import places
from releases.services.commands.settings import change_environment
from releases.services.scaling import scaling
from tenants.access import Actor
from tenants.roles import Capability

# What has no default: empty until somebody says it, and refused then by its own name.
NOWHERE = {"cluster": "", "namespace": "", "gateway_url": "", "artifacts": "", "artifacts_secret": ""}


def change_whole_environment(
    actor: Actor,
    name: str,
    changes: Mapping[str, Any],
    *,
    clusters: Collection[str],
    hosts: Collection[str] = (),
    at: datetime,
) -> Environment:
    """Change policy, connection (`kubernetes`), `autoscaling` and `network` of an environment."""
    actor.require(Capability.ADMINISTER)
    find.environment(actor, name)
    parts: dict[str, Callable[[Any], None]] = {
        "kubernetes": lambda wanted: _connect(actor, name, wanted, clusters, hosts, at),
        "autoscaling": lambda wanted: _scale(actor, name, wanted, at),
        "network": lambda wanted: _protect(actor, name, wanted, at),
    }
    policy = {key: value for key, value in changes.items() if key not in parts}
    with transaction.atomic():
        if policy or not changes:
            change_environment(actor, name, policy, at=at)
        for key, change in parts.items():
            if key in changes:
                with _named(key):
                    change(changes[key])
    return find.environment(actor, name)


def _connect(
    actor: Actor,
    name: str,
    wanted: Mapping[str, Any] | None,
    clusters: Collection[str],
    hosts: Collection[str],
    at: datetime,
) -> None:
    if wanted is None:
        places.disconnect(actor, name, at=at)
        return
    place = _place(actor, name)
    now = asdict(place.connection) if place else NOWHERE
    connection = KubernetesConnection(**{**now, **wanted})
    places.connect(actor, name, connection, clusters=clusters, hosts=hosts, at=at)


def _scale(actor: Actor, name: str, wanted: Mapping[str, Any], at: datetime) -> None:
    if "default" in wanted:
        with _named("default"):
            now = _scaling_now(actor, name, None)
            places.set_autoscaling(actor, name, None, _over(now, wanted["default"]), at=at)
    for model, changes in wanted.get("models", {}).items():
        with _named(f"models.{model[:60]}"):
            now = _scaling_now(actor, name, model)
            places.set_autoscaling(actor, name, model, _over(now, changes), at=at)


def _over(now: Autoscaling, changes: Mapping[str, Any] | None) -> Autoscaling | None:
    return None if changes is None else replace(now, **changes)


def _scaling_now(actor: Actor, name: str, model: str | None) -> Autoscaling:
    """What is in force, be it inherited: what is not said of a policy of its own begins with it."""
    environment = find.environment(actor, name)
    policies = scaling([environment])
    of = find.model(actor, model).pk if model is not None else None
    return policies.policies.get((environment.pk, of)) or policies.default(environment)


def _protect(actor: Actor, name: str, wanted: Mapping[str, Any], at: datetime) -> None:
    place = _place(actor, name)
    if place is None:
        raise Conflict(f"{name} serves on the portal's own machine, where no network policy applies.")
    network, callers = place.network_rules, place.callers
    if "policy" in wanted:
        rules = wanted["policy"]
        with _named("policy"):
            network = None if rules is None else NetworkRules(**{**asdict(place.network_rules_kept), **rules})
    with _named("callers"):
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in wanted.get("callers", {}).items()
        }
        callers = replace(callers, **given)
    places.set_protection(actor, name, network, callers, at=at)


def _place(actor: Actor, name: str) -> KubernetesPlace | None:
    return KubernetesPlace.objects.filter(environment=find.environment(actor, name)).first()


@contextmanager
def _named(part: str) -> Iterator[None]:
    """Fields that are refused inside are fields of this part."""
    try:
        yield
    except Invalid as error:
        fields = {f"{part}.{field}": messages for field, messages in error.fields.items()}
        said = "; ".join(f"{field}: {messages[0]}" for field, messages in fields.items())
        raise Invalid(said or str(error), code=error.code, fields=fields) from error
    except NotFound as error:  # of what is named in the change; the environment itself was there
        raise Invalid(f"{part}: {error}", fields={part: [str(error)]}) from error
