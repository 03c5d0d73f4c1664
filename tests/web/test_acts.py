"""Acts with a reason; each works as a plain page."""

import pytest

from releases.models import Release
from tests.web.conftest import Login, Scene


def url(release: Release, act: str) -> str:
    return f"/t/acme/releases/{release.pk}/{act}/"


@pytest.mark.parametrize("act", ["pause", "promote", "abort"])
def test_it_asks_for_a_reason_on_a_page_of_its_own(scene: Scene, login: Login, act: str) -> None:
    page = login("ada").get(url(scene.canary, act)).content.decode()
    assert f'action="{url(scene.canary, act)}"' in page
    assert 'name="reason"' in page


def test_it_writes_the_intent(scene: Scene, login: Login) -> None:
    answer = login("ada").post(url(scene.canary, "pause"), {"reason": "a look at the logs"}, follow=True)
    scene.canary.refresh_from_db()
    assert (scene.canary.intent, scene.canary.intent_reason) == ("pause", "a look at the logs")
    assert "Pause is asked for." in answer.content.decode()
    assert "ada asked to pause" in answer.content.decode()


def test_it_refuses_an_empty_reason(scene: Scene, login: Login) -> None:
    answer = login("ada").post(url(scene.canary, "abort"), {"reason": "  "})
    assert answer.status_code == 422
    assert "Give a reason" in answer.content.decode()


def test_it_keeps_what_was_typed_when_the_state_does_not_allow_it(scene: Scene, login: Login) -> None:
    answer = login("ada").post(url(scene.canary, "resume"), {"reason": "all is well again"})
    assert answer.status_code == 409
    assert "resume is not possible while the release is canary" in answer.content.decode()
    assert "all is well again" in answer.content.decode()


def test_it_calls_an_abort_before_traffic_a_withdrawal(scene: Scene, login: Login) -> None:
    assert "Withdraw cider 2.0.0?" in login("ada").get(url(scene.waiting, "abort")).content.decode()


def test_it_tells_a_viewer_why_not(scene: Scene, login: Login) -> None:
    answer = login("cleo").get(url(scene.canary, "pause"))
    assert answer.status_code == 403
    assert "A viewer may not pause a release." in answer.content.decode()


def test_it_knows_no_other_acts(scene: Scene, login: Login) -> None:
    assert login("ada").get(url(scene.canary, "explode")).status_code == 404
