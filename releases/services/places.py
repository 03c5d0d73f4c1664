"""What the workers do for environments themselves: the policies around the models, and the connection.

Level-triggered: each look asks the cluster whether what stands there is what is wanted, brings it about when
it is not, and writes down what it found. Told apart by a fingerprint: a change that somebody wanted here is
applied, one that somebody made in the cluster is repaired.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

import rfc8785
from django.db.models import F, Q

from releases.models import Environment, KubernetesPlace
from releases.models.places import TargetKind
from releases.ports import Connection, Guard, Protection, Refused
from releases.services import history
from tenants import audit

logger = logging.getLogger(__name__)

LONGEST_DRIFT, MOST_DRIFTS, LONGEST_FINDING = 300, 20, 600


def protection(place: KubernetesPlace) -> Protection:
    """Who shall be able to reach the models of a place (read with tenant and environment)."""
    return Protection(place.tenant.slug, place.environment.name, place.network_rules, place.callers)


def fingerprint(wanted: Protection) -> str:
    """The same for the same protection."""
    return hashlib.sha256(rfc8785.dumps(asdict(wanted))).hexdigest()


def protect(environments: Iterable[Environment], guard: Guard, at: datetime) -> None:
    """One look at the policies around the models; raises `Unreachable` when it cannot look."""
    known = {environment.pk for environment in environments if environment.target == TargetKind.SELDON}
    if not known:
        return
    for place in KubernetesPlace.objects.select_related("tenant", "environment").filter(
        environment__in=known
    ):
        _protect(place, guard, at)


def _protect(place: KubernetesPlace, guard: Guard, at: datetime) -> None:
    """What the cluster refuses stands on the place until it is taken."""
    wanted = protection(place)
    mark = fingerprint(wanted)
    try:
        drift = guard.drift(wanted)
        if drift or place.applied != mark:
            guard.apply(wanted)
        weak = guard.weaknesses(wanted)  # no repair: nothing that is applied would cure it
    except Refused as error:
        logger.warning("policies of %s are refused: %s", place, error)
        _note(place, [f"the policies cannot be brought about: {error}"], at)
        return
    if place.applied != mark:
        _record(place, "environment.protected", drift, at)
        drift = []  # it had to differ: this was not in effect yet
    elif drift and _fit([*drift, *weak]) != place.drift:  # once, as long as it stays the same
        _record(place, "environment.repaired", drift, at)
    _note(place, [*drift, *weak], at, applied=mark)


def _fit(drift: Sequence[str]) -> list[str]:
    return [text[:LONGEST_DRIFT] for text in drift][:MOST_DRIFTS]


def _record(place: KubernetesPlace, action: str, drift: Sequence[str], at: datetime) -> None:
    audit.record(
        place.tenant,
        at=at,
        actor=history.PORTAL,
        action=action,
        subject=place.environment.name,
        detail={"found": _fit(drift)},
    )


def _note(place: KubernetesPlace, drift: Sequence[str], at: datetime, **more: str) -> None:
    """Only the columns that workers write: a form that is saved meanwhile loses nothing."""
    KubernetesPlace.objects.filter(pk=place.pk).update(drift=_fit(drift), looked_at=at, **more)


def to_examine() -> list[int]:
    """The environments whose connection somebody has asked to be examined since it last was."""
    is_due = Q(examined_at__isnull=True) | Q(examined_at__lt=F("examine_asked_at"))
    asked = KubernetesPlace.objects.filter(is_due, examine_asked_at__isnull=False)
    return list(asked.values_list("environment_id", flat=True))


def examine(environment_id: int, connection: Connection, clock: Callable[[], datetime]) -> None:
    """Try everything that the portal needs there, and keep what was found for the page."""
    began = clock()  # whoever asks while it runs is answered by the next one
    found = [
        {"name": finding.name, "is_good": finding.is_good, "said": finding.said[:LONGEST_FINDING]}
        for finding in connection.examine()
    ]
    KubernetesPlace.objects.filter(environment_id=environment_id).update(findings=found, examined_at=began)
