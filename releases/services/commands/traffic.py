"""What tenant administrators decide about traffic: the services, and which model answers which caller.

Writes the mapping and nothing else: the routes follow, because every pass of the workers sets them whole,
with what leads to them (`services.traffic`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from releases.domain.errors import Conflict, Invalid
from releases.domain.traffic import TrafficRule, checked, in_order, revision
from releases.models import Environment, RegisteredModel, Service, ServiceRule
from releases.services import find
from releases.services.commands.acting import checked_reason
from tenants import audit
from tenants.access import Actor
from tenants.models import SLUG
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class WantedMapping:
    """The rules that a service shall have in an environment. `expected` is the revision of those that the
    caller has seen: others in their place are a conflict. None: whatever is there is replaced."""

    service: str
    rules: tuple[TrafficRule, ...]
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Remapping:
    """The rules of a service in an environment, before and after; the same when there was nothing to do."""

    service: str
    environment: str
    before: tuple[TrafficRule, ...]
    after: tuple[TrafficRule, ...]


def add_service(actor: Actor, *, name: str, at: datetime) -> Service:
    """A public name more. It answers nothing before it has a mapping."""
    actor.require(Capability.ADMINISTER)
    try:
        SLUG(name)
    except ValidationError as error:
        message = str(SLUG.message)
        raise Invalid(f"The name of a service: {message}", fields={"name": [message]}) from error
    try:
        with transaction.atomic():
            service = Service.objects.create(tenant=actor.tenant, name=name, created_at=at)
            _audit(actor, at, "service.added", name, {})
    except IntegrityError as error:
        raise Conflict(f"There is a service {name!r} already.", code="exists") from error
    return service


def remove_service(actor: Actor, name: str, *, reason: str, at: datetime) -> None:
    """Take a service away, with its mappings in every environment: its callers get no answer any more."""
    actor.require(Capability.ADMINISTER)
    reason = checked_reason(reason)
    with transaction.atomic():
        _rows(actor, name).first()  # whoever is setting a mapping of it has finished then
        service = find.service(actor, name)
        rows = ServiceRule.objects.filter(service=service).select_related("environment", "model")
        mapped: dict[str, list[TrafficRule]] = {}
        for row in rows:
            mapped.setdefault(row.environment.name, []).append(row.value())
        service.delete()
        before = {place: _told(rules) for place, rules in sorted(mapped.items())}
        _audit(actor, at, "service.removed", name, {"reason": reason, "before": before})


def set_mapping(
    actor: Actor,
    service: str,
    environment: str,
    rules: Iterable[TrafficRule],
    *,
    at: datetime,
    expected: str | None = None,
) -> Remapping:
    """As `set_mappings`, for one service."""
    wanted = WantedMapping(service, tuple(rules), expected)
    return set_mappings(actor, environment, [wanted], at=at)[0]


def set_mappings(
    actor: Actor, environment: str, wanted: Sequence[WantedMapping], *, at: datetime
) -> list[Remapping]:
    """Set the mappings of some services in an environment, all or none.

    A service that is not there is added, unless the caller says what it has seen of it. Raises `NotFound`
    for the environment, `Invalid` for rules that cannot be, `Conflict` when a mapping is not as expected.
    """
    actor.require(Capability.ADMINISTER)
    place = find.environment(actor, environment)
    models = {model.name: model for model in RegisteredModel.objects.filter(tenant=actor.tenant)}
    valid = {each.service: checked(each.rules, models) for each in wanted}
    with transaction.atomic():
        # All rows in the order of their names before anything is written: two who change the same services,
        # or wait for the audit log, wait for each other and never for ever.
        locked = [(each, _locked(actor, each, at)) for each in sorted(wanted, key=lambda each: each.service)]
        done = [
            (service, _checked_change(each, service, place, valid[each.service])) for each, service in locked
        ]
        for service, change in done:
            if change.before != change.after:
                _write(actor, service, place, change, models, at)
    return [change for _, change in done]


def rules_of(service: Service, environment: Environment) -> tuple[TrafficRule, ...]:
    """The mapping as it is; no rules where there is none."""
    rows = ServiceRule.objects.filter(service=service, environment=environment).select_related("model")
    return in_order(row.value() for row in rows)


def _locked(actor: Actor, wanted: WantedMapping, at: datetime) -> Service:
    service = _rows(actor, wanted.service).first()
    if service is not None:
        return service
    if wanted.expected is not None:
        raise Conflict(
            f"The service {wanted.service} has been removed since you looked at it.",
            code="service_removed",
            state={"service": wanted.service},
        )
    try:
        return add_service(actor, name=wanted.service, at=at)
    except Conflict:  # somebody else has added it in this moment
        return _rows(actor, wanted.service).get()


def _rows(actor: Actor, name: str) -> QuerySet[Service]:
    """The service, locked when it is read."""
    return Service.objects.select_for_update().filter(tenant=actor.tenant, name=name)


def _checked_change(
    wanted: WantedMapping, service: Service, place: Environment, rules: tuple[TrafficRule, ...]
) -> Remapping:
    change = Remapping(service.name, place.name, rules_of(service, place), rules)
    if wanted.expected is None or wanted.expected == revision(change.before):
        return change
    there = ", ".join(f"{rule.tier_name} {rule.model}" for rule in change.before) or "nothing"
    asked = ", ".join(f"{rule.tier_name} {rule.model}" for rule in change.after) or "nothing"
    raise Conflict(
        f"The mapping of {change.service} in {change.environment} has changed since you looked at it: "
        f"there is now {there}; you asked for {asked}.",
        code="mapping_changed",
        state={
            "service": change.service,
            "environment": change.environment,
            "rules": _told(change.before),
            "asked": _told(change.after),
        },
    )


def _write(
    actor: Actor,
    service: Service,
    place: Environment,
    change: Remapping,
    models: Mapping[str, RegisteredModel],
    at: datetime,
) -> None:
    ServiceRule.objects.filter(service=service, environment=place).delete()
    ServiceRule.objects.bulk_create(
        ServiceRule(
            tenant=actor.tenant,
            service=service,
            environment=place,
            tier=rule.tier,
            model=models[rule.model],
        )
        for rule in change.after
    )
    detail = {"before": _told(change.before), "after": _told(change.after)}
    _audit(actor, at, "mapping.changed", f"{service.name} in {place.name}", detail)


def _told(rules: Iterable[TrafficRule]) -> dict[str, str]:
    return {rule.tier_name: rule.model for rule in rules}


def _audit(actor: Actor, at: datetime, action: str, subject: str, detail: Mapping[str, object]) -> None:
    audit.record(
        actor.tenant,
        at=at,
        actor=actor.name,
        action=action,
        subject=subject,
        detail=detail,
        request_id=actor.request_id,
    )
