"""What the workers last saw of each engine, for the pages, which ask no engine themselves."""

from collections.abc import Callable, Sequence
from datetime import datetime

from releases.domain.routing import Route
from releases.models import ComponentHealth, Environment
from releases.models.places import TargetKind
from releases.ports import AdapterError, MetricSource, Missing, Ports, Unreachable

OF_A_PLACE = ("target", "gateway", "metrics")
"""The engines that an environment on a cluster has for itself, and all environments on this machine share."""


def note(
    name: str,
    at: datetime,
    failure: str = "",
    *,
    degraded: bool = False,
    environment: Environment | None = None,
) -> None:
    """Write down that an engine answered, or why it did not. `environment`: whose own engine it is."""
    state = "degraded" if degraded else "down" if failure else "up"
    row, created = ComponentHealth.objects.get_or_create(
        name=name,
        environment=environment,
        defaults={"state": state, "detail": failure[:300], "seen_at": at},
    )
    if state == "up" and (created or row.state != "up" or row.up_since is None):
        row.up_since = at
    row.state, row.detail, row.seen_at = state, failure[:300], at
    row.save()


def noting(
    name: str, at: datetime, call: Callable[[], object], environment: Environment | None = None
) -> bool:
    """Make a call to an engine and note how it went; False when the engine did not answer."""
    try:
        call()
    except AdapterError as error:
        note(name, at, str(error), environment=environment)
        return False
    note(name, at, environment=environment)
    return True


def note_place(environments: Sequence[Environment], ports: Ports, at: datetime) -> None:
    """Ask each engine of one place; the environments are read with their tenants."""
    first = environments[0]
    owner = None if first.target == TargetKind.LOCAL else first
    anything = Route(first.tenant.slug, first.name, "anything")  # a router that is asked for none asks nobody
    calls: tuple[Callable[[], object], ...] = (
        ports.target.list,
        lambda: ports.router.read([anything]),
        lambda: ask_metrics(ports.metrics),
    )
    for name, call in zip(OF_A_PLACE, calls, strict=True):
        noting(name, at, call, owner)


def forget_the_gone() -> None:
    """Engines of places that are no more are not shown for ever."""
    here = Environment.objects.filter(target=TargetKind.LOCAL)
    of_places = ComponentHealth.objects.filter(name__in=OF_A_PLACE)
    of_places.filter(environment__isnull=False).exclude(environment__target=TargetKind.SELDON).delete()
    if not here.exists():
        of_places.filter(environment__isnull=True).delete()


def ask_metrics(source: MetricSource) -> None:
    """Raise `Unreachable` when the source does not answer: its port tells that per deployment."""
    if source.read(["anything"])["anything"] is Missing.UNREACHABLE:
        raise Unreachable("the metric source does not answer")
