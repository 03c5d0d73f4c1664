"""Looking back from the form of a new release: in place with script, on a page of its own without."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.traffic import simulate
from tests.web.conftest import Scene

FORM = "/t/acme/releases/new/?model=mead&environment=production"


@pytest.mark.parametrize("script", [True, False])
def test_it_replays_the_plan_of_the_form(scene: Scene, visit: Visit, script: bool) -> None:
    start = timezone.now() - timedelta(hours=1)
    scene.ended.started_at = start
    scene.ended.save()
    simulate(scene.ended, since=start, seconds=20, candidate_errors=0.5)
    page = visit("ada", java_script_enabled=script, viewport={"width": 390, "height": 844})
    page.goto(FORM)
    page.get_by_role("button", name="Replay the last ten releases").click()
    found = page.locator("#retrospective")
    expect(found).to_contain_text("This plan would have rolled back 1 of 1: 1.2.0 after")
    assert page.url.endswith(FORM if script else "/t/acme/releases/looking-back/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
