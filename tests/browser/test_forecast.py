"""The forecast as a person meets it: it follows what is typed, and a proposal is one press away."""

from playwright.sync_api import expect

from tests import factories
from tests.browser.conftest import Visit
from tests.web.conftest import Scene

NEW = "/t/acme/releases/new/?model=cider&environment=production"


def test_forecast_follows_the_plan_and_a_proposal_fills_it_in(scene: Scene, visit: Visit) -> None:
    factories.baseline(scene.waiting.endpoint, 0.5, 0.002)
    page = visit("ada")
    page.goto(NEW)
    forecast = page.locator("#forecast")
    expect(forecast).to_contain_text("cannot be decided in the plan's 60")
    page.locator("#max_canary").fill("80000")
    page.locator("#max_canary").blur()
    expect(forecast).to_contain_text("this needs about")
    page.locator("#max_canary").fill("3600")
    page.locator("#max_canary").blur()
    heavier = page.get_by_role("button", name="Give the last step")
    weight = (heavier.get_attribute("value") or "").removeprefix("weight-")
    heavier.click()
    expect(page.locator("#weight-0")).to_have_value(weight)
    expect(forecast).to_contain_text("this needs about")


def test_pages_with_a_forecast_fit_a_phone(scene: Scene, visit: Visit) -> None:
    factories.baseline(scene.waiting.endpoint, 0.5, 0.002)
    page = visit("ada", viewport={"width": 390, "height": 844})
    for address in (NEW, f"/t/acme/releases/{scene.waiting.pk}/", f"/t/acme/releases/{scene.canary.pk}/"):
        page.goto(address)
        expect(page.get_by_text("requests/s").first).to_be_attached()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, address
