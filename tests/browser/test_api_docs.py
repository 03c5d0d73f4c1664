"""The API's page works under the portal's Content-Security-Policy: it draws, unfolds and calls."""

from pathlib import Path

import yaml
from playwright.sync_api import expect

from tests.browser.conftest import Visit

METHODS = {"get", "post", "put", "patch", "delete"}


def test_it_shows_every_call_and_makes_one_with_the_session(visit: Visit) -> None:
    page = visit("ada")
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    page.goto("/api/v1/docs/")
    document = yaml.safe_load(Path("docs/openapi.yaml").read_text())
    calls = sum(len(set(path) & METHODS) for path in document["paths"].values())
    expect(page.locator(".opblock")).to_have_count(calls)
    call = page.locator("#operations-models-list_models")
    call.locator(".opblock-summary-control").click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_placeholder("tenant").fill("acme")
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table tbody .response-col_status")).to_contain_text("200")
    expect(call.locator(".live-responses-table")).to_contain_text('"name": "wine"')
    assert refused == []
