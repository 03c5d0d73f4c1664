"""Whether what is saved can come into effect: the workers look, and the gateway answers them.

The route itself is confirmed where it is set, by the gateway; no row tells afterwards that it is in effect,
so no page claims it. What rows do tell is when nothing can come into effect.
"""

from datetime import datetime, timedelta

from django.db.models import Q

from releases.models import ComponentHealth, Environment
from releases.services.queries.overview import NOT_SEEN_FOR


def standstill(environment: Environment, at: datetime) -> str:
    """Why changes do not come into effect at this time; empty when nothing is known to keep them."""
    rows = ComponentHealth.objects.filter(Q(environment=environment) | Q(environment=None))
    # Where an environment has an engine of its own, its row counts.
    seen = {row.name: row for row in sorted(rows, key=lambda row: row.environment_id is not None)}
    workers, gateway = seen.get("workers"), seen.get("gateway")
    if workers is None or at - workers.seen_at > timedelta(seconds=NOT_SEEN_FOR):
        return "The workers have not reported lately. What is saved reaches the gateway when they run again."
    if gateway is not None and gateway.state == "down":
        said = f" ({gateway.detail.rstrip('.')})" if gateway.detail else ""
        return f"The gateway does not answer the workers{said}. They go on trying until it does."
    return ""
