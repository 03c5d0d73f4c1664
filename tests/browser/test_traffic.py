"""The Traffic page as a person meets it: choose, see the difference, save; ask where a request goes."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from releases.domain.traffic import TrafficRule
from releases.models import ServiceRule
from releases.services import commands
from tests.browser.conftest import Visit
from tests.web.conftest import Scene

PAGE = "/t/acme/traffic/"
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(autouse=True)
def mapped(scene: Scene) -> None:
    ada = scene.cast.actor(scene.cast.ada)
    rules = [TrafficRule(None, "wine"), TrafficRule("premium", "cider")]
    commands.set_mapping(ada, "quality", "production", rules, at=timezone.now())
    commands.add_service(ada, name="a-service-with-a-name-as-long-as-may-be", at=timezone.now())


def saved() -> dict[str | None, str]:
    rows = ServiceRule.objects.filter(service__name="quality").select_related("model")
    return {row.tier: row.model.name for row in rows}


def test_it_marks_a_choice_shows_the_difference_and_saves(visit: Visit) -> None:
    page = visit("ada")
    page.get_by_role("link", name="Traffic").click()
    page.get_by_label("quality, premium").focus()
    page.get_by_label("quality, premium").select_option("mead")
    expect(page.get_by_text("1 change not saved")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "rule.quality.premium"
    assert saved() == {None: "wine", "premium": "cider"}
    page.get_by_role("button", name="Review the change").click()
    expect(page.get_by_role("heading", name="Change one rule in production?")).to_be_visible()
    page.get_by_role("button", name="Go on editing").click()
    expect(page.get_by_label("quality, premium, changed")).to_have_value("mead")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Save the mapping").click()
    expect(page.get_by_text("Saved: quality in production.")).to_be_visible()
    assert saved() == {None: "wine", "premium": "mead"}


def test_it_answers_the_tester_while_one_types(visit: Visit) -> None:
    page = visit("cleo")
    page.goto(PAGE)
    way = page.locator("#way")
    page.get_by_label("Service", exact=True).select_option("quality")
    expect(way).to_contain_text("wine, production")
    page.get_by_label("customer-tier optional").fill("premium")
    expect(way).to_contain_text("cider, production")
    expect(page.locator("#curl")).to_contain_text("-H 'customer-tier: premium'")
    page.get_by_label("tenant", exact=True).fill("globex")
    expect(way).to_contain_text("No model of acme answers")


def test_it_works_without_script(visit: Visit) -> None:
    page = visit("ada", java_script_enabled=False)
    page.goto(PAGE)
    page.get_by_label("Service", exact=True).select_option("quality")
    page.get_by_role("button", name="Show the way").click()
    expect(page.locator("#way")).to_contain_text("wine, production")
    page.get_by_label("quality, standard").select_option("perry")
    page.get_by_role("button", name="Mark what changes").click()
    expect(page.get_by_label("quality, standard, changed")).to_have_value("perry")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Save the mapping").click()
    assert saved() == {None: "wine", "premium": "cider", "standard": "perry"}


def _review(page: Page) -> None:
    page.get_by_label("quality, standard").select_option("perry")
    expect(page.get_by_text("1 change not saved")).to_be_visible()
    page.get_by_role("button", name="Review the change").click()


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("go", [lambda page: None, _review], ids=["table", "review"])
def test_it_never_scrolls_sideways(visit: Visit, width: int, go: Callable[[Page], None]) -> None:
    page = visit("ada", viewport={"width": width, "height": 800})
    page.goto(PAGE)
    go(page)
    assert page.evaluate(WIDE) <= 0
