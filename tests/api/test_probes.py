"""What machines ask about the portal itself: does it live, can it work, what does it count."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from releases.domain.release import Phase
from tests import factories
from tests.api.conftest import Scene


def test_healthz_answers_without_database_or_log_in() -> None:
    answer = Client().get("/healthz")  # pytest-django refuses every query here
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.django_db
def test_readyz_all_well_is_200() -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "checks": dict.fromkeys(("database", "broker", "migrations"), "ok"),
    }


@pytest.mark.django_db
def test_readyz_without_broker_is_503_and_names_it(settings: LazySettings) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "broker": "does not answer", "migrations": "ok"}


@pytest.mark.django_db
def test_readyz_migration_not_applied_is_503_and_counts_it() -> None:
    with connection.cursor() as cursor:
        newest = "SELECT max(name) FROM django_migrations WHERE app = 'releases'"
        cursor.execute(f"DELETE FROM django_migrations WHERE app = 'releases' AND name = ({newest})")  # noqa: S608
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert "1 migrations have" in answer.json()["checks"]["migrations"]


@pytest.mark.django_db(transaction=True)
def test_readyz_without_database_is_503_and_gives_nothing_away(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    try:
        answer = Client().get("/readyz")
    finally:
        connection.close()
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "does not answer"
    assert b"127.0.0.1" not in answer.content


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_only_read(path: str) -> None:
    assert Client().post(path).status_code == 405


def scrape() -> dict[tuple[str, str], float]:
    """What Prometheus would read: (name, label) -> value."""
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.content.decode())
    return {
        (sample.name, " ".join(filter(None, sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_releases_by_phase(scene: Scene) -> None:
    read = scrape()
    assert read["portal_releases_active", "canary"] == 1
    assert read["portal_releases_active", "paused"] == 1
    assert read["portal_releases_active", "deploying"] == 0
    assert read["portal_releases_finished_total", "rolled_back"] == 1
    assert ("portal_releases_active", "rolled_back") not in read
    assert read["portal_holds", ""] == 1


@pytest.mark.django_db
def test_metrics_tell_how_long_ago_the_last_pass_was() -> None:
    assert ("portal_reconcile_age_seconds", "") not in scrape()
    factories.health("workers", seen_at=timezone.now() - timedelta(seconds=40))
    factories.health("mlflow", "down")
    read = scrape()
    assert 40 <= read["portal_reconcile_age_seconds", ""] < 45
    assert (read["portal_component_up", "workers"], read["portal_component_up", "mlflow"]) == (1, 0)


def test_metrics_tell_the_engines_of_each_environment_apart_without_naming_its_tenant(scene: Scene) -> None:
    remote = factories.environment(scene.cast.globex, "production", target="seldon")
    factories.health("target")
    factories.health("target", "down", environment=remote)
    read = scrape()
    assert read["portal_component_up", "target"] == 1
    assert read["portal_component_up", f"target seldon/{remote.pk}"] == 0
    assert "globex" not in Client().get("/metrics").content.decode()


def test_metrics_count_releases_that_wait_for_a_pass(scene: Scene) -> None:
    now = timezone.now()
    scene.canary.next_wake_at, scene.canary.failures = now - timedelta(seconds=1), 2
    scene.canary.save()
    scene.paused.next_wake_at = now + timedelta(hours=1)
    scene.paused.save()
    read = scrape()
    assert (read["portal_releases_due", ""], read["portal_releases_failing", ""]) == (1, 1)


def test_metrics_name_no_tenant_and_cost_a_handful_of_queries(scene: Scene) -> None:
    with CaptureQueriesContext(connection) as before:
        page = Client().get("/metrics").content.decode()
    assert "acme" not in page
    for _ in range(20):
        factories.release(scene.at_mead, scene.ended.version, Phase.SUCCEEDED)
    with CaptureQueriesContext(connection) as after:
        Client().get("/metrics")
    assert len(after) == len(before) < 10
