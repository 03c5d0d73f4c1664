"""Celery's entry points: who calls what, when. The bodies are short; the services do the work.

Every message may be lost or come twice: the services find out themselves what is due.
"""

import logging
from collections.abc import Callable
from functools import partial

from celery import Task, shared_task
from celery.apps.worker import Worker
from celery.signals import worker_ready
from django.conf import settings
from django.core.cache import cache
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from releases.adapters.factory import ports
from releases.domain.release import Phase
from releases.models import Environment, ModelVersion, Release
from releases.ports import AdapterError, Ports, Refused
from releases.services import (
    baseline_sweep,
    catalog,
    composing,
    health,
    notifications,
    places,
    smoke,
    supplies,
    validate,
    watchdog,
)
from releases.services.artifacts import ArtifactStore, restore
from releases.services.commands import idempotency
from releases.services.converge import Errands
from releases.services.lanes import Lanes
from releases.services.reconcile import free_leases, now, places_due
from releases.services.reconcile import reconcile as run_pass

logger = logging.getLogger(__name__)

# Passes that follow each other at once within one tick, when decisions ask for it.
PASSES_PER_TICK = 5
LOCAL = "local"

lanes = Lanes()
receivers = Lanes(most=8)


def artifact_store() -> ArtifactStore:
    """Where fetched artifacts are kept."""
    return ArtifactStore(settings.ARTIFACTS)


def _once(key: str, seconds: int) -> bool:
    """True for the first caller within a span: keeps the queue from filling with the same errand."""
    try:
        return bool(cache.add(f"errand:{key}", 1, seconds))
    except RedisError:
        return False  # the broker is the same Redis: the message would not get through either


def _send(task: Task[..., None], seconds: int, argument: str | int) -> None:
    if not _once(f"{task.name}:{argument}", seconds):
        return
    try:
        task.apply_async((argument,), expires=60, retry=False)
    except OperationalError as error:
        logger.warning("%s(%s) cannot be sent: %s; the next pass asks again", task.name, argument, error)


def errands() -> Errands:
    """How the services send for heavy work; the seconds say how often the same may be asked for."""
    return Errands(
        validate=partial(_send, heavy_validate, 5),
        smoke=partial(_send, heavy_smoke, 2),
        fetch=partial(_send, heavy_fetch, 10),
        mirror=partial(_send, heavy_mirror, 10),
        announce=partial(_send, heavy_announce, 10),
        store=artifact_store(),
    )


@worker_ready.connect
def take_over(sender: Worker, **_: object) -> None:
    """At the start of a worker that runs passes."""
    if "control" in sender.app.amqp.queues.consume_from:
        logger.info("%d releases were claimed by others and are free again", free_leases())


@shared_task
def reconcile() -> None:
    """Every second: move every release on that is due; those on a cluster in the lane of their place."""
    at = now()
    for place in places_due(at):
        if place != LOCAL:
            lanes.start(f"reconcile {place}", partial(_passes, place))
    _passes(LOCAL)
    health.note("workers", now())


def _passes(place: str) -> None:
    for _ in range(PASSES_PER_TICK):
        if not run_pass(ports, errands(), now, place):
            break


def _at_each_place(name: str, work: Callable[[str, list[Environment]], None]) -> None:
    """Do something for all environments by the engines that serve them: for those on this machine here and
    now, for each on a cluster in a lane of its own."""
    by_place: dict[str, list[Environment]] = {}
    for environment in Environment.objects.select_related("tenant"):
        by_place.setdefault(environment.place, []).append(environment)
    here = by_place.pop(LOCAL, [])
    for place, environments in by_place.items():
        lanes.start(f"{name} {place}", partial(work, place, environments))
    if here:
        work(LOCAL, here)


@shared_task
def sweep() -> None:
    """Every few seconds: endpoints between releases, leftovers, and the engines' health."""
    for environment_id in places.to_examine():
        _send(heavy_examine, 10, environment_id)
    for recomposition_id in composing.waiting():
        _send(heavy_compose, 10, recomposition_id)
    health.forget_the_gone()
    _at_each_place("sweep", _sweep)


def _sweep(place: str, environments: list[Environment]) -> None:
    at, made = now(), ports(place)
    health.note_place(environments, made, at)
    try:
        watchdog.sweep(environments, made, errands(), at)
    except AdapterError as error:
        logger.warning("endpoints on %s cannot be looked at: %s", place, error)


@shared_task
def read_baselines() -> None:
    """Every ten seconds: what the stable versions do."""
    _at_each_place("baselines", _read_baselines)


def _read_baselines(place: str, environments: list[Environment]) -> None:
    baseline_sweep.read_baselines(environments, ports(place).metrics, now())


@shared_task
def notify() -> None:
    """Every two seconds: callbacks and statuses that are due. In lanes of their own: receivers that hang hold
    up neither the passes nor those of other tenants."""
    for lane, deliveries in notifications.due(now()).items():
        receivers.start(lane, partial(notifications.deliver, deliveries, ports(LOCAL), now))


@shared_task
def forget() -> None:
    """Every hour: what need not be known any longer."""
    logger.info("%d idempotency keys were too old and are forgotten", idempotency.forget(now()))
    logger.info("%d messages of the registry are too old to come again", catalog.forget_messages(now()))


@shared_task
def heavy_validate(release_id: str) -> None:
    """Validate a release; done at once when somebody else does or it is done."""
    if validate.validate(release_id, _ports_of(release_id), artifact_store(), now):
        _wake(release_id)


@shared_task
def heavy_smoke(release_id: str) -> None:
    """Ask the candidate through the gateway."""
    smoke.smoke_test(release_id, _ports_of(release_id), now)
    _wake(release_id)


@shared_task
def heavy_fetch(version_id: int) -> None:
    """Fetch an artifact again that has vanished from the store."""
    version = ModelVersion.objects.select_related("model").get(pk=version_id)
    try:
        restore(version, ports(LOCAL).registry, artifact_store())
    except Refused as error:
        waiting = Release.objects.filter(version=version, phase=Phase.DEPLOYING)
        waiting.update(refusal=str(error), next_wake_at=now())


@shared_task
def heavy_mirror(ref: str) -> None:
    """Copy the artifact of a deployment to where its target fetches it from."""
    supplies.copy(ref, ports, artifact_store(), now)


@shared_task
def heavy_announce(release_id: str) -> None:
    """Tell the registry what was promoted."""
    release = Release.objects.select_related("endpoint__environment", "endpoint__model", "version", "stable")
    catalog.announce(ports(LOCAL).registry, release.get(pk=release_id), now())


@shared_task
def heavy_examine(environment_id: int) -> None:
    """Try everything that the portal needs of an environment's cluster."""
    environment = Environment.objects.get(pk=environment_id)
    places.examine(environment_id, ports(environment.place).connection, now)


@shared_task
def heavy_compose(recomposition_id: int) -> None:
    """Compose a model again with a newer member, and register it."""
    composing.compose(recomposition_id, ports(LOCAL), now)


@shared_task
def look_where_asked() -> None:
    """The registry told of a change. In a lane, because a registry that hangs must not hold up the passes;
    one lane is enough, for it goes on until nothing is asked for."""
    lanes.start("registry", lambda: catalog.look_where_asked(ports(LOCAL).registry, now))


@shared_task
def heavy_discover() -> None:
    """Mirror what others have registered."""
    at = now()
    health.noting("mlflow", at, lambda: catalog.poll(ports(LOCAL).registry, at))


def _ports_of(release_id: str) -> Ports:
    """The ports of the place that a release is for."""
    release = Release.objects.select_related("endpoint__environment").get(pk=release_id)
    return ports(release.endpoint.environment.place)


def _wake(release_id: str) -> None:
    Release.objects.filter(pk=release_id, next_wake_at__isnull=False).update(next_wake_at=now())
