"""One pass over all releases that are due: claim, observe, fold, decide, persist, converge.

Level-triggered: each pass asks the database what is due and the world how it is. Whatever is lost on the
way - a message, a worker, a pass between persisting and converging - is made good by the next one.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from releases.domain.release import JUDGED, Phase, decide
from releases.domain.verdict import Verdict, VerdictKind
from releases.models import Environment, Release
from releases.models.places import environments_at
from releases.ports import Ports
from releases.services import persist, sampling
from releases.services.converge import Errands, converge
from releases.services.observe import observe
from releases.services.persist import Outcome
from releases.services.sampling import Taken
from releases.services.world import World, look

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
# A tick of beat comes a few milliseconds early or late: what is due within this is due now.
TOLERANCE = timedelta(seconds=0.25)
LARGEST_PASS = 2_000
LONGEST_BACK_OFF = 60.0

# Documents that a pass does not look into: parsing them for 1,000 releases would take a third of it.
_NOT_READ = (
    "verdict",
    "self_test",
    "endpoint__baseline",
    "endpoint__environment__default_plan",
    *(f"{version}__{name}" for version in ("version", "stable") for name in ("signature", "metrics", "tags")),
)

Clock = Callable[[], datetime]


def reconcile(
    ports_of: Callable[[str], Ports], errands: Errands, clock: Clock, place: str | None = None
) -> int:
    """Run one pass, over everything that is due or over what is due at one place; returns how many releases
    want another look at once."""
    at = clock()
    claimed = claim(at, place)
    hurry = 0
    for engines, group in groupby(claimed, key=_place):
        hurry += _at_one_place(list(group), engines, ports_of, errands, at)
    return hurry


def _at_one_place(
    releases: list[Release], place: str, ports_of: Callable[[str], Ports], errands: Errands, at: datetime
) -> int:
    """A place whose engines cannot even be named is no obstacle to the others."""
    try:
        ports = ports_of(place)
    except Exception as error:
        logger.exception("%s: its engines cannot be named", place)
        for release in releases:
            push_forward(release, error, at)
        return 0
    return _guarded(releases, ports, errands, at)


def places_due(at: datetime) -> list[str]:
    """The places at which anything is due."""
    environments = Environment.objects.filter(endpoints__releases__in=_due(at)).distinct()
    return sorted({environment.place for environment in environments.only("target")})


def _guarded(releases: list[Release], ports: Ports, errands: Errands, at: datetime) -> int:
    """A pass in which one broken release does not stop the others: then each gets a pass of its own."""
    try:
        return _pass(releases, ports, errands, at)
    except Exception as error:
        if len(releases) == 1:
            logger.exception("release %s failed", releases[0].pk)
            push_forward(releases[0], error, at)
            return 0
        logger.warning("a pass over %d releases failed; one by one now", len(releases), exc_info=True)
    # Whatever the failed pass has stored is not claimed any more: its lease is given back.
    left = Release.objects.filter(pk__in=[r.pk for r in releases], lease_until__isnull=False)
    claimed = set(left.values_list("pk", flat=True))
    return sum(_guarded([release], ports, errands, at) for release in releases if release.pk in claimed)


def _due(at: datetime) -> QuerySet[Release]:
    return Release.objects.filter(
        Q(lease_until__isnull=True) | Q(lease_until__lt=at), next_wake_at__lte=at + TOLERANCE
    )


def claim(at: datetime, place: str | None = None) -> list[Release]:
    """Take a lease on what is due, at one place or everywhere; two workers never get the same row."""
    lease = at + LEASE
    with transaction.atomic():
        due = _due(at).select_for_update(skip_locked=True, of=("self",))
        if place is not None:
            due = due.filter(endpoint__environment__in=environments_at(place))
        ids = list(due.order_by("next_wake_at").values_list("pk", flat=True)[:LARGEST_PASS])
        Release.objects.filter(pk__in=ids).update(lease_until=lease)
    rows = (
        Release.objects.filter(pk__in=ids, lease_until=lease)
        .select_related(
            "endpoint__tenant",
            "endpoint__environment",
            "endpoint__model",
            "version__model",
            "stable__model",
        )
        .defer(*_NOT_READ)
        .order_by("pk")
    )
    return sorted(rows, key=_place)


def free_leases() -> int:
    """Give back what others have claimed, for a worker that starts: one that was killed would otherwise keep
    its releases waiting until its lease ends. Whoever is still at work loses no more than one pass, which it
    cannot store any more. Returns how many were given back."""
    return Release.objects.filter(lease_until__isnull=False).update(lease_until=None)


def _place(release: Release) -> str:
    """The engines that a release has to do with."""
    return release.endpoint.environment.place


def _pass(releases: list[Release], ports: Ports, errands: Errands, at: datetime) -> int:
    seconds = at.timestamp()
    world = look(releases, ports, errands.store)
    taken, failed = _sample(releases, world, seconds)
    verdicts = {key: value.verdict for key, value in taken.items()}
    verdicts |= {key: _unjudged(error) for key, error in failed.items()}
    seen = observe(releases, world, verdicts, seconds)
    outcomes: list[Outcome] = []
    for release in releases:
        try:
            decision = decide(release.rollout_plan(), release.state(), seen[release.pk])
        except Exception as error:
            logger.exception("release %s cannot be decided", release.pk)
            push_forward(release, error, at)
            continue
        if release.pk in failed and not decision.is_event:
            decision = replace(decision, wake_in=_back_off(release))
        outcomes.append(Outcome(release, decision, taken.get(release.pk)))
    stored = _persist(outcomes, at)
    for outcome in stored:
        if why := failed.get(outcome.release.pk):
            Release.objects.filter(pk=outcome.release.pk).update(**_failure(outcome.release, why))
    converge([outcome.release for outcome in stored], world, ports, errands, at)
    return sum(1 for outcome in stored if outcome.decision.wake_in == 0)


def _sample(
    releases: Sequence[Release], world: World, at: float
) -> tuple[dict[str, Taken], Mapping[str, Exception]]:
    """The samples, and what kept one from being taken.

    A release that cannot be judged is held, not left alone: a person has to be able to stop it. Among
    others it fails, and gets a pass of its own, so that they are judged."""
    try:
        return sampling.take([r for r in releases if Phase(r.phase) in JUDGED], world, at), {}
    except Exception as error:
        if len(releases) > 1:
            raise
        logger.exception("release %s cannot be judged", releases[0].pk)
        return {}, {releases[0].pk: error}


def _unjudged(error: Exception) -> Verdict:
    return Verdict(VerdictKind.UNREACHABLE, f"its samples cannot be judged ({error})"[:500])


def _persist(outcomes: Sequence[Outcome], at: datetime) -> list[Outcome]:
    """Quiet rows in one statement; each event in a transaction of its own with all that follows."""
    quiet = [outcome for outcome in outcomes if not outcome.decision.is_event]
    stored = list(persist.quietly(quiet, at))
    for outcome in outcomes:
        if not outcome.decision.is_event:
            continue
        try:
            if persist.event(outcome, at):
                stored.append(outcome)
        except Exception as error:
            logger.exception("release %s: %s failed", outcome.release.pk, outcome.decision.reason)
            push_forward(outcome.release, error, at)
    return stored


def push_forward(release: Release, error: Exception, at: datetime) -> None:
    """Record what went wrong and look again later; the lease is given back."""
    Release.objects.filter(pk=release.pk, lease_until=release.lease_until).update(
        **_failure(release, error),
        next_wake_at=at + timedelta(seconds=_back_off(release)),
        lease_until=None,
    )


def _failure(release: Release, error: Exception) -> dict[str, Any]:
    return {"failures": release.failures + 1, "last_error": f"{type(error).__name__}: {error}"[:2_000]}


def _back_off(release: Release) -> float:
    return float(min(LONGEST_BACK_OFF, 2.0 ** (release.failures + 1)))


def now() -> datetime:
    """The clock of the entry points."""
    return datetime.now(UTC)
