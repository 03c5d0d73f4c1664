"""A real Chromium on a live server, with a page for each of the cast."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests import factories
from tests.browser.chromium import browser, executable, log_in
from tests.web.conftest import Scene

Visit = Callable[[str], Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if executable() is None:
        pytest.fail("no Chromium on this machine; install the Debian package chromium")
    with pytest.MonkeyPatch.context() as patch, browser() as started:
        # Playwright keeps an event loop in this thread, which Django would take for an async view.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield started


@pytest.fixture
def scene(chromium: Browser, transactional_db: None) -> Scene:
    return Scene()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about; empty at the end of every test."""
    return []


@pytest.fixture
def visit(scene: Scene, chromium: Browser, live_server: object, complaints: list[str]) -> Iterator[Visit]:
    """A logged-in page of somebody, at the size of a desk."""
    contexts = []

    def note(message: ConsoleMessage) -> None:
        # Plotly tries to add its style sheet of maps, which the policy refuses: harmless.
        if message.type == "error" and "style" not in message.text:
            complaints.append(message.text)

    def as_(name: str, **options: object) -> Page:
        context = chromium.new_context(base_url=live_server.url, **options)  # type: ignore[attr-defined]
        contexts.append(context)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        log_in(page, live_server.url, name, factories.PASSWORD)  # type: ignore[attr-defined]
        return page

    yield as_
    for context in contexts:
        context.close()
    assert complaints == []
