"""What the workers last saw of each engine, for the pages, which ask no engine themselves."""

from collections.abc import Callable
from datetime import datetime

from releases.models import ComponentHealth
from releases.ports import AdapterError, MetricSource, Missing, Unreachable


def note(name: str, at: datetime, failure: str = "", *, degraded: bool = False) -> None:
    """Write down that an engine answered, or why it did not."""
    state = "degraded" if degraded else "down" if failure else "up"
    row, created = ComponentHealth.objects.get_or_create(
        name=name, defaults={"state": state, "detail": failure[:300], "seen_at": at}
    )
    if state == "up" and (created or row.state != "up" or row.up_since is None):
        row.up_since = at
    row.state, row.detail, row.seen_at = state, failure[:300], at
    row.save()


def noting(name: str, at: datetime, call: Callable[[], object]) -> bool:
    """Make a call to an engine and note how it went; False when the engine did not answer."""
    try:
        call()
    except AdapterError as error:
        note(name, at, str(error))
        return False
    note(name, at)
    return True


def ask_metrics(source: MetricSource) -> None:
    """Raise `Unreachable` when the source does not answer: its port tells that per deployment."""
    if source.read(["anything"])["anything"] is Missing.UNREACHABLE:
        raise Unreachable("the metric source does not answer")
