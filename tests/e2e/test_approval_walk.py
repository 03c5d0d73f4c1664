"""A person approves in a real Chromium, and the page shows what real workers and engines then do."""

import pytest
from playwright.sync_api import expect

from mlops_portal.demo.portal import cast_of
from tests.browser.chromium import browser, log_in
from tests.e2e.conftest import Live

pytestmark = [pytest.mark.survival, pytest.mark.timeout(300)]


def test_approver_decides_in_the_inbox_and_watches_the_release_succeed_without_a_reload(live: Live) -> None:
    cast = cast_of(live.stack.layout.var / "demo.json")
    body = {"model": "wine", "version": "1.0.0", "environment": "production", "plan": {"grace_seconds": 2}}
    release = live.ci.file(body, "walk")["id"]
    live.ci.get(f"releases/{release}/wait/?phase=awaiting_approval&timeout=30")
    with browser() as chromium:
        page = chromium.new_page()
        portal = cast["portal"].rstrip("/")
        log_in(page, portal, "ben", cast["users"]["ben"])
        page.goto(f"{portal}/t/acme/approvals/")
        item = page.locator("article", has_text="1.0.0")
        item.get_by_role("textbox").fill("First version, looks fine.")
        item.get_by_role("button", name="Approve").click()
        page.goto(f"{portal}/t/acme/releases/{release}/")
        page.evaluate("document.body.dataset.loadedOnce = 'yes'")
        expect(page.locator("h1 + .badge, .title .badge")).to_contain_text("Succeeded", timeout=90_000)
        assert page.evaluate("document.body.dataset.loadedOnce") == "yes"
    approvals = live.ci.get(f"releases/{release}/approvals/")["results"]
    assert [(row["by"], row["comment"]) for row in approvals] == [("ben", "First version, looks fine.")]
