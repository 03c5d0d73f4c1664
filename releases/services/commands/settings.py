"""What administrators set up: models, environments and their policy."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from releases.domain.errors import Conflict, Invalid, NotFound
from releases.domain.plan import RolloutPlan
from releases.models import Environment, RegisteredModel
from releases.services import find
from tenants import audit
from tenants.access import Actor
from tenants.models import SLUG
from tenants.roles import Capability

# MLflow refuses these in names of registered models.
_REGISTRY_NAME = re.compile(r"[^/:\x00-\x1f]{1,200}")


def add_model(
    actor: Actor, *, name: str, registry_name: str = "", description: str = "", at: datetime
) -> RegisteredModel:
    """Make a model of the registry known to the tenant; by default both have the same name."""
    actor.require(Capability.REQUEST)
    registry_name = registry_name or name
    fields = {}
    if not _is_slug(name):
        fields["name"] = [str(SLUG.message)]
    if not _REGISTRY_NAME.fullmatch(registry_name):
        fields["registry_name"] = ["1 to 200 characters, without / : and control characters"]
    if len(description) > 4_000 or "\x00" in description:
        fields["description"] = ["at most 4000 characters of plain text"]
    if fields:
        raise Invalid("; ".join(f"{k}: {v[0]}" for k, v in fields.items()), fields=fields)
    try:
        with transaction.atomic():
            model = RegisteredModel.objects.create(
                tenant=actor.tenant, name=name, registry_name=registry_name, description=description
            )
            _audit(actor, at, "model.added", name, {"registry_name": registry_name})
    except IntegrityError as error:
        raise Conflict(
            f"A model {name!r} exists, or {registry_name!r} of the registry belongs to another model.",
            code="exists",
        ) from error
    return model


def add_environment(
    actor: Actor, *, name: str, position: int, changes: Mapping[str, Any], at: datetime
) -> Environment:
    """Add an environment with its policy (keys as in `change_environment`)."""
    actor.require(Capability.ADMINISTER)
    if not _is_slug(name):
        raise Invalid(str(SLUG.message), fields={"name": [str(SLUG.message)]})
    environment = Environment(tenant=actor.tenant, name=name, position=position)
    _apply(actor, environment, changes)
    try:
        with transaction.atomic():
            environment.save(force_insert=True)
            _audit(actor, at, "environment.added", name, dict(changes))
    except IntegrityError as error:
        raise Conflict(f"There is an environment {name!r} already.", code="exists") from error
    return environment


def change_environment(actor: Actor, name: str, changes: Mapping[str, Any], *, at: datetime) -> Environment:
    """Change the policy; running releases keep what was frozen into them at their start."""
    actor.require(Capability.ADMINISTER)
    with transaction.atomic():
        found = find.environment(actor, name)
        environment = Environment.objects.select_for_update().get(pk=found.pk)
        _apply(actor, environment, changes)
        environment.save()
        _audit(actor, at, "environment.changed", name, dict(changes))
    return find.environment(actor, name)


def _is_slug(text: str) -> bool:
    try:
        SLUG(text)
    except ValidationError:
        return False
    return True


def _audit(actor: Actor, at: datetime, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    audit.record(
        actor.tenant,
        at=at,
        actor=actor.name,
        action=action,
        subject=subject,
        detail=detail,
        request_id=actor.request_id,
    )


def _apply(actor: Actor, environment: Environment, changes: Mapping[str, Any]) -> None:
    fields: dict[str, list[str]] = {}
    for key, value in changes.items():
        try:
            _apply_one(actor, environment, key, value)
        except Invalid as error:
            fields.update(error.fields or {key: [str(error)]})
    if fields:
        raise Invalid("; ".join(f"{k}: {v[0]}" for k, v in fields.items()), fields=fields)


def _apply_one(actor: Actor, environment: Environment, key: str, value: Any) -> None:
    if key == "approvals_required":
        environment.approvals_required = _whole(value, 0, 20)
    elif key == "approval_ttl_seconds":
        environment.approval_ttl_seconds = _whole(value, 60, 30 * 86_400)
    elif key == "metric_tolerance":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Invalid("has to be a number")
        if not 0 <= value <= 1:
            raise Invalid("has to be a share from 0 to 1")
        environment.metric_tolerance = float(value)
    elif key == "default_plan":
        try:
            environment.default_plan = RolloutPlan.from_json(value).to_json()
        except Invalid as error:
            raise Invalid(
                str(error),
                fields={k.replace("plan", "default_plan", 1): v for k, v in error.fields.items()},
            ) from error
    elif key == "requires_success_in":
        environment.requires_success_in = _earlier(actor, environment, value)
    else:
        raise Invalid("unknown or not to be changed")


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"has to be a whole number from {low} to {high}")
    return value


def _earlier(actor: Actor, environment: Environment, name: Any) -> Environment | None:
    if name is None:
        return None
    try:
        earlier = find.environment(actor, str(name))
    except NotFound as error:
        raise Invalid(str(error)) from error
    at: Environment | None = earlier
    while at is not None:
        if at.name == environment.name:
            raise Invalid("the environments would wait for each other")
        at = at.requires_success_in
    return earlier
