"""The Chromium that the machine has, driven by Playwright; also as a page object of the log-in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]


def executable() -> str | None:
    """Where the browser is; None when the machine has none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless browser."""
    path = executable()
    if path is None:
        raise RuntimeError(f"No Chromium on this machine; install one of: {', '.join(NAMES)}.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield started
        finally:
            started.close()


def log_in(page: Page, portal: str, name: str, password: str) -> None:
    """Through the form, as a person would."""
    page.goto(f"{portal}/login/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login/" not in url)
