"""What a composed model is made of, and what happens beside it, on a desk and on a phone, light and dark."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from releases.models import ModelVersion, Release, Sample
from tests import factories
from tests.browser.conftest import Visit
from tests.domain.test_composition import BLOCKS, ENSEMBLE, ROUTER
from tests.web.conftest import Scene

WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SIZES = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
FEATURES = {
    "entity": "user_id",
    "view_features": ["user_features:age", "user_features:avg_purchase", "user_features:total_spend"],
    **{"on_missing": "default", "on_stale": "null", "on_unreachable": "error"},
}
BLEND, ROUTE = "/t/acme/models/blend/1.0.0/", "/t/acme/models/route/1.0.0/"


@pytest.fixture(autouse=True)
def composed(scene: Scene) -> Release:
    """blend and route are composed; the canary of wine has a cache, features and members, stable a cache."""
    forest = factories.model(scene.cast.acme, "wine-forest", registry_name="wine-forest")
    for number, text in ((3, "1.2.0"), (4, "1.3.0")):
        factories.version(forest, text, registry_version=number)
    made = {**ENSEMBLE, "blocks": {**BLOCKS, "features": FEATURES}}
    factories.version(factories.model(scene.cast.acme, "blend"), "1.0.0", composition=made)
    factories.version(factories.model(scene.cast.acme, "route"), "1.0.0", composition=ROUTER)
    release = scene.canary
    ModelVersion.objects.filter(pk=release.version_id).update(composition=made)
    cached = {**ENSEMBLE, "blocks": {"cache": BLOCKS["cache"]}}
    ModelVersion.objects.filter(pk=release.stable_id).update(composition=cached)
    Sample.objects.filter(release=release, arm="candidate").update(beside_counts=[31, 5, 34, 2, 0, 0, 1])
    Sample.objects.filter(release=release, arm="stable").update(beside_counts=[290, 44, 0, 0, 0, 0, 0])
    return release


def picture(page: Page, name: str) -> None:
    """For whoever wants to look: PICTURES names a folder."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_it_shows_what_a_version_is_made_of(visit: Visit, theme: str, size: dict[str, int]) -> None:
    page = visit("ada", viewport=size)
    for name, path in (("blend", BLEND), ("route", ROUTE)):
        page.goto(f"{path}?theme={theme}")
        members = page.get_by_role("list", name="Members").get_by_role("listitem")
        expect(members).to_have_count(2)
        expect(members.first.get_by_role("link", name="wine-forest 1.2.0")).to_be_visible()
        picture(page, f"{name}-{size['width']}-{theme}")
        assert page.evaluate(WIDE) == 0


def test_it_asks_for_a_new_version_and_follows_it(visit: Visit) -> None:
    page = visit("ada")
    page.goto(BLEND)
    page.get_by_role("button", name="Compose a new version").click()
    expect(page.get_by_text("Waits for a worker.")).to_be_visible()
    picture(page, "composing")
    expect(page.get_by_role("button", name="Compose a new version")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_it_shows_what_happens_beside_the_model(
    visit: Visit, composed: Release, theme: str, size: dict[str, int]
) -> None:
    page = visit("ada", viewport=size)
    page.goto(f"/t/acme/releases/{composed.pk}/?theme={theme}")
    panel = page.locator("#release-beside")
    expect(panel.get_by_role("row", name="Answers from the cache")).to_contain_text("%")
    expect(panel.get_by_role("row", name="Features missing")).to_contain_text("has no such block")
    if os.environ.get("PICTURES"):
        panel.screenshot(path=Path(os.environ["PICTURES"]) / f"beside-{size['width']}-{theme}.png")
    assert page.evaluate(WIDE) == 0
