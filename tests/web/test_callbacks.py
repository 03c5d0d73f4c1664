"""The panel of callbacks: hidden without any, honest about what was not heard, a button for operators."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from releases.domain.release import Phase
from releases.models import Delivery, Release
from tests import factories
from tests.web.conftest import Login, Scene

HTMX = {"HTTP_HX_REQUEST": "true"}


def page(client: Client, release: Release) -> str:
    return client.get(f"/t/acme/releases/{release.pk}/").content.decode()


def panel(client: Client, release: Release) -> str:
    answer = client.get(f"/t/acme/releases/{release.pk}/callbacks/", **HTMX)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def told(scene: Scene) -> Release:
    """A release that told its first phase, gave the second up, and waits to tell the third."""
    perry = factories.endpoint(scene.production, scene.perry)
    now = timezone.now()
    release = factories.release(
        perry, scene.perry.versions.get(), Phase.VALIDATING, callback_url="https://ci.example/hook"
    )
    factories.walk(release, [(Phase.DEPLOYING, now, "valid"), (Phase.SMOKE_TESTING, now, "it runs")])
    first, second, third = release.deliveries.all()
    first.delivered_at, first.attempts = now, 1
    second.gave_up_at, second.attempts, second.last_error = now, 1, "https://ci.example answers 404"
    third.attempts, third.next_attempt_at = 3, now + timedelta(seconds=8)
    third.last_error = "no answer from https://ci.example: <script>"
    for row in (first, second, third):
        row.save()
    return release


def test_it_is_hidden_and_quiet_when_nobody_is_told(scene: Scene, login: Login) -> None:
    shown = page(login("ada"), scene.canary)
    head = shown[shown.index('id="release-callbacks"') :].partition(">")[0]
    assert "hidden" in head
    assert "hx-get" not in head
    assert "callbacks-title</h2>" not in shown


def test_it_says_what_was_heard_what_was_given_up_and_what_waits(told: Release, login: Login) -> None:
    shown = page(login("cleo"), told)
    assert "1 heard, 1 waiting, 1 given up" in shown
    assert "https://ci.example answers 404" in shown
    assert "after 1 attempt." in shown
    assert "3 attempts, the next" in shown
    assert "&lt;script&gt;" in shown
    assert f'hx-get="/t/acme/releases/{told.pk}/callbacks/"' in shown


def test_it_offers_sending_again_to_operators_only(told: Release, login: Login) -> None:
    address = f"/t/acme/releases/{told.pk}/callbacks/{told.deliveries.all()[1].pk}/again/"
    assert f'action="{address}"' in panel(login("ada"), told)
    for name in ("ben", "cleo"):
        assert "/again/" not in panel(login(name), told)
        assert login(name).post(address).status_code == 403


def test_it_sends_again_and_says_so(told: Release, login: Login) -> None:
    row = told.deliveries.all()[1]
    address = f"/t/acme/releases/{told.pk}/callbacks/{row.pk}/again/"
    answer = login("ada").post(address, follow=True)
    assert "The callback of deploying is sent again within two seconds." in answer.content.decode()
    row.refresh_from_db()
    assert (row.gave_up_at, row.attempts) == (None, 0)
    assert "Sent again as soon as its turn comes." in answer.content.decode()
    assert address not in answer.content.decode()
    assert login("ada").get(address).status_code == 405


def test_it_refuses_to_repeat_what_was_heard(told: Release, login: Login) -> None:
    row = told.deliveries.all()[0]
    answer = login("ada").post(f"/t/acme/releases/{told.pk}/callbacks/{row.pk}/again/", follow=True)
    assert "The receiver has heard this already." in answer.content.decode()


def test_it_stops_asking_when_the_release_has_ended_and_nothing_waits(told: Release, login: Login) -> None:
    factories.walk(told, [(Phase.CANCELLED, timezone.now(), "withdrawn")])
    assert "hx-get" in panel(login("ada"), told)
    Delivery.objects.filter(release=told).update(delivered_at=timezone.now())
    shown = panel(login("ada"), told)
    assert "hx-get" not in shown
    assert "4 heard" in shown
    assert "Send again" not in shown


def test_it_leads_whoever_comes_by_hand_to_the_page(told: Release, login: Login) -> None:
    answer = login("ada").get(f"/t/acme/releases/{told.pk}/callbacks/")
    assert (answer.status_code, answer["Location"]) == (302, f"/t/acme/releases/{told.pk}/")


def test_record_names_the_commit_that_is_told_only_when_there_is_one(told: Release, login: Login) -> None:
    assert "<dt>Commit</dt>" not in page(login("ada"), told)
    Release.objects.filter(pk=told.pk).update(commit_repository="acme/models", commit_sha="0a1b2c3d" * 5)
    shown = page(login("ada"), told)
    assert '<dt>Commit</dt><dd>acme/models <span class="mono">0a1b2c3</span></dd>' in shown
