"""The portal's own metrics for Prometheus.

All of them are counted in the database at the scrape, so every web process gives the same answer and none
has to share memory with another. No names of tenants in them: whoever scrapes is not in a tenant.
"""

from collections.abc import Iterator

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from releases.domain.release import ACTIVE, TERMINAL, Phase
from releases.models import ComponentHealth, Delivery, Hold, Release

WORKERS = "workers"


class PortalCollector(Collector):
    """What the database knows now."""

    def collect(self) -> Iterator[Metric]:
        """All metrics; a handful of aggregate queries."""
        yield from _releases()
        yield from _components()
        yield from _work()


def _releases() -> Iterator[Metric]:
    counted = dict(Release.objects.order_by().values_list("phase").annotate(Count("pk")))
    active = GaugeMetricFamily(
        "portal_releases_active", "Releases that have not ended, by phase.", labels=["phase"]
    )
    ended = CounterMetricFamily("portal_releases_finished", "Releases that ended, by how.", labels=["phase"])
    for phase in Phase:
        family = active if phase in ACTIVE else ended
        family.add_metric([phase.value], counted.get(phase.value, 0))
    yield active
    yield ended


def _components() -> Iterator[Metric]:
    now = timezone.now()
    seen = list(ComponentHealth.objects.select_related("environment"))
    labels = ["component", "place"]  # no place: an engine that all environments share
    up = GaugeMetricFamily("portal_component_up", "1: the engine answered.", labels=labels)
    age = GaugeMetricFamily(
        "portal_component_seen_seconds", "Seconds since the engine was looked at.", labels=labels
    )
    for component in seen:
        of = [component.name, component.environment.place if component.environment else ""]
        up.add_metric(of, float(component.state == "up"))
        age.add_metric(of, max(0.0, (now - component.seen_at).total_seconds()))
    yield up
    yield age
    reconciled = GaugeMetricFamily("portal_reconcile_age_seconds", "Seconds since the last reconcile pass.")
    for component in seen:
        if component.name == WORKERS:
            reconciled.add_metric([], max(0.0, (now - component.seen_at).total_seconds()))
    yield reconciled


def _work() -> Iterator[Metric]:
    now = timezone.now()
    due = Release.objects.filter(next_wake_at__lte=now).exclude(phase__in=TERMINAL)
    yield GaugeMetricFamily("portal_releases_due", "Releases waiting for a reconcile pass.", due.count())
    failing = Release.objects.filter(failures__gt=0, phase__in=ACTIVE)
    yield GaugeMetricFamily("portal_releases_failing", "Releases whose last pass failed.", failing.count())
    standing = Hold.objects.filter(lifted_at__isnull=True)
    yield GaugeMetricFamily("portal_holds", "Versions on hold.", standing.count())
    waiting = Delivery.objects.filter(delivered_at__isnull=True, gave_up_at__isnull=True)
    yield GaugeMetricFamily("portal_callbacks_waiting", "Callbacks not yet delivered.", waiting.count())


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """The page that Prometheus scrapes."""
    registry = CollectorRegistry()
    registry.register(PortalCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
