"""The page of a composed version: what it is made of, and newer members that can be asked for."""

import copy

import pytest
from django.utils import timezone

from releases.models import ModelVersion, Recomposition
from tests import factories
from tests.domain.test_composition import BLOCKS, ENSEMBLE, ROUTER
from tests.web.conftest import Login, Scene

HERE = "/t/acme/models/blend/1.0.0/"


@pytest.fixture
def composed(scene: Scene) -> ModelVersion:
    """blend 1.0.0 is made of wine-forest 1.2.0, of which there is 1.3.0, and a model of nobody here."""
    forest = factories.model(scene.cast.acme, "wine-forest", registry_name="wine-forest")
    for number, text in ((3, "1.2.0"), (4, "1.3.0")):
        factories.version(forest, text, registry_version=number)
    blend = factories.model(scene.cast.acme, "blend")
    return factories.version(blend, "1.0.0", composition={**ENSEMBLE, "blocks": BLOCKS})


def test_it_shows_members_weights_and_blocks(composed: ModelVersion, login: Login) -> None:
    page = login("cleo").get(HERE).content.decode()
    assert 'href="/t/acme/models/wine-forest/1.2.0/"' in page
    assert "wine-boost 1.2.0" in page
    assert "not of this tenant" in page
    assert "75&nbsp;%" in page
    assert "An answer is kept for 3600 s." in page
    assert "1 of 2 have to answer" in page
    assert "encrypted in the artifact" in page


def test_it_shows_who_answers_whom_of_a_router(composed: ModelVersion, login: Login) -> None:
    ModelVersion.objects.filter(pk=composed.pk).update(composition=ROUTER)
    page = login("cleo").get(HERE).content.decode()
    assert "tier premium" in page
    assert "every other tier" in page
    assert "no tier, fewer than 100 rows" in page
    assert "no tier, 100 rows or more" in page


def test_it_offers_a_newer_member_to_who_may_ask_for_it(composed: ModelVersion, login: Login) -> None:
    for path in (HERE, "/t/acme/models/wine-forest/1.3.0/"):
        assert "Compose a new version" in login("ada").get(path).content.decode()
        page = login("cleo").get(path).content.decode()
        assert "is newer than the 1.2.0 inside" in page
        assert "Compose a new version" not in page
    assert "Newer members" not in login("ada").get("/t/acme/models/wine-forest/1.2.0/").content.decode()


def test_asking_stores_the_intent_and_the_page_tells_how_it_goes(
    composed: ModelVersion, login: Login
) -> None:
    ada = login("ada")
    answer = ada.post(f"{HERE}compose/", {"member": "forest", "newer": "1.3.0"}, follow=True)
    assert answer.redirect_chain[-1][0] == HERE
    page = answer.content.decode()
    assert "blend 1.0.0 is being composed with wine-forest 1.3.0." in page
    assert "Waits for a worker." in page
    assert 'hx-trigger="every 2s"' in page
    row = Recomposition.objects.get()
    row.failure, row.ended_at = "spec.yaml:1:1: <no>", timezone.now()
    row.save()
    page = ada.get(HERE).content.decode()
    assert "Not composed: spec.yaml:1:1: &lt;no&gt;" in page
    assert "Try again" in page
    assert 'hx-trigger="every 2s"' not in page
    row.failure, row.result = "", factories.version(composed.model, "1.1.0")
    row.save()
    page = ada.get(HERE).content.decode()
    assert 'href="/t/acme/releases/new/?model=blend&amp;version=1.1.0"' in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"member": "forest", "newer": "1.2.0"},
            "Nothing was done. wine-forest 1.2.0 is not the newest version",
        ),
        ({"member": "oak\0", "newer": "1.3.0"}, "has no member"),
        ({}, "has no member"),
    ],
)
def test_asking_for_what_is_not_offered_says_why(
    composed: ModelVersion, login: Login, given: dict[str, str], said: str
) -> None:
    page = login("ada").post(f"{HERE}compose/", given, follow=True).content.decode()
    assert said in page
    assert not Recomposition.objects.exists()


def test_asking_is_for_members_with_the_right_and_for_nobody_else(
    composed: ModelVersion, login: Login
) -> None:
    given = {"member": "forest", "newer": "1.3.0"}
    assert login("cleo").post(f"{HERE}compose/", given).status_code == 403
    assert login("mallory").post(f"{HERE}compose/", given).status_code == 404
    assert login("ada").get(f"{HERE}compose/").status_code == 405
    assert not Recomposition.objects.exists()


def test_composition_of_another_day_leaves_the_page_whole(composed: ModelVersion, login: Login) -> None:
    odd = copy.deepcopy(ENSEMBLE) | {"version": 99}
    ModelVersion.objects.filter(pk=composed.pk).update(composition=odd)
    for path in (HERE, "/t/acme/models/wine-forest/1.3.0/"):
        answer = login("ada").get(path)
        assert answer.status_code == 200
        assert "Made of" not in answer.content.decode()
