"""Looking back: on a page of its own, and in the form of a new release."""

from datetime import timedelta

import pytest
from django.utils import timezone

from releases.domain.release import Phase
from tests import factories
from tests.traffic import simulate
from tests.web.conftest import Login, Scene
from tests.web.test_new_release import form

URL = "/t/acme/releases/looking-back/"
OF_MEAD = {"model": "mead", "environment": "production"}


@pytest.fixture
def past(scene: Scene) -> Scene:
    """Mead 1.2.0 failed half of its requests and was rolled back."""
    start = timezone.now() - timedelta(hours=1)
    scene.ended.started_at = start
    scene.ended.save()
    simulate(scene.ended, since=start, seconds=30, candidate_errors=0.5)
    decided = start + timedelta(seconds=20)
    factories.walk(
        scene.ended, [(Phase.ROLLING_BACK, decided, "harm seen"), (Phase.ROLLED_BACK, decided, "back")]
    )
    return scene


@pytest.mark.parametrize("name", ["ada", "cleo"])
def test_it_looks_back_with_the_default_plan_for_everybody_who_may_read(
    past: Scene, login: Login, name: str
) -> None:
    answer = login(name).get(URL, OF_MEAD)
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "This plan would have rolled back 1 of 1: 1.2.0 after" in page
    assert "the default plan of production" in page
    assert "Harm seen." in page
    assert f"/t/acme/releases/{past.ended.pk}/" in page


def test_it_looks_back_with_the_plan_of_the_form_without_script(past: Scene, login: Login) -> None:
    answer = login("ada").post(URL, form(**OF_MEAD, error_rate_max="50", do="look"))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "the plan of the form" in page
    assert "errors below 50" in page
    assert "<html" in page


def test_it_answers_htmx_with_the_part_only(past: Scene, login: Login) -> None:
    answer = login("ada").post(URL, form(**OF_MEAD, do="look"), headers={"HX-Request": "true"})
    page = answer.content.decode()
    assert page.startswith('<section class="panel" id="retrospective"')
    assert "Replay them again" in page


@pytest.mark.parametrize(("headers", "status"), [({}, 422), ({"HX-Request": "true"}, 200)])
def test_it_says_what_is_wrong_with_the_plan(
    past: Scene, login: Login, headers: dict[str, str], status: int
) -> None:
    answer = login("ada").post(URL, form(**OF_MEAD, error_rate_max="500", do="look"), headers=headers)
    assert answer.status_code == status
    assert "plan.rules.error_rate_max" in answer.content.decode()


def test_it_says_that_there_is_nothing_yet(scene: Scene, login: Login) -> None:
    page = login("ada").get(URL, {"model": "wine", "environment": "production"}).content.decode()
    assert "Nothing to look back at" in page
    assert login("ada").get(URL, {"model": "perry", "environment": "production"}).status_code == 404
    assert login("ada").get(URL).status_code == 404


def test_it_hides_what_belongs_to_others(past: Scene, login: Login) -> None:
    assert login("mallory").get(URL, OF_MEAD).status_code == 404
    assert login("mallory").get(URL.replace("acme", "globex"), OF_MEAD).status_code == 404


def test_it_is_offered_in_the_form_and_at_the_endpoint(past: Scene, login: Login) -> None:
    page = login("ada").get("/t/acme/releases/new/", OF_MEAD).content.decode()
    assert f'formaction="{URL}"' in page
    first = login("ada").get("/t/acme/releases/new/", {"model": "perry", "environment": "staging"})
    assert URL not in first.content.decode()
    assert (
        f"{URL}?model=mead&amp;environment=production"
        in login("cleo").get("/t/acme/endpoints/").content.decode()
    )


def test_it_survives_what_no_database_can_hold(scene: Scene, login: Login) -> None:
    assert login("ada").get(URL, {"model": "a\x00", "environment": "\x00"}).status_code == 404
