"""Pictures of a running portal, light and dark, on a desk and on a phone: `make screenshots`.

Reads the address and the log-ins from `var/demo.json` (or from the file given), writes
`var/screenshots/<page>-<width>-<theme>.png`. `--only overview,approvals` takes some pages only.
"""

import argparse
import json
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.chromium import browser, log_in

VAR = Path(__file__).resolve().parents[2] / "var"
WIDTHS = {1440: 900, 390: 844}
THEMES = ("light", "dark")
# Whose eyes: the approver sees what waits for an approval.
LOOKER = "ada"


def addresses(page: Page, portal: str, tenant: str) -> dict[str, str]:
    """Name -> path of every page; of releases the newest in each phase."""
    home = f"/t/{tenant}/"
    found = {
        "overview": home,
        "releases": f"{home}releases/",
        "approvals": f"{home}approvals/",
        "new-release": f"{home}releases/new/",
        "models": f"{home}models/",
        "endpoints": f"{home}endpoints/",
        "traffic": f"{home}traffic/",
        "environments": f"{home}environments/",
        "environment": f"{home}environments/production/",
        "environment-policy": f"{home}environments/production/policy/",
    }
    answer = page.request.get(f"{portal}/api/v1/tenants/{tenant}/releases/?limit=100")
    for release in answer.json()["results"]:
        found.setdefault(f"release-{release['phase'].replace('_', '-')}", f"{home}releases/{release['id']}/")
        found.setdefault("model", f"{home}models/{release['model']}/")
        found.setdefault("version", f"{home}models/{release['model']}/{release['version']}/")
    return found


def shoot(using: Browser, demo: dict, out: Path, only: set[str]) -> list[Path]:  # type: ignore[type-arg]
    """Take all pictures; returns the files."""
    portal, tenant = demo["portal"].rstrip("/"), demo["tenant"]
    written = []
    for width, height in WIDTHS.items():
        context = using.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        page = context.new_page()
        page.goto(f"{portal}/login/")
        for theme in THEMES:
            if not only or "login" in only:
                written.append(_picture(page, f"{portal}/login/", "login", width, theme, out))
        log_in(page, portal, LOOKER, demo["users"][LOOKER])
        for name, path in addresses(page, portal, tenant).items():
            if only and name not in only:
                continue
            for theme in THEMES:
                written.append(_picture(page, portal + path, name, width, theme, out))
        context.close()
    return written


def _picture(page: Page, url: str, name: str, width: int, theme: str, out: Path) -> Path:
    answer = page.goto(f"{url}?theme={theme}")
    if answer is None or answer.status != 200:
        raise SystemExit(f"{url} answered {answer.status if answer else 'nothing'}")
    if page.locator("#release-charts:not([hidden])").count():
        page.wait_for_selector(".plot .main-svg, .plot .empty-plot")
        page.wait_for_timeout(300)  # Plotly draws its axes after the promise
    file = out / f"{name}-{width}-{theme}.png"
    page.screenshot(path=file, full_page=True)
    return file


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", nargs="?", type=Path, default=VAR / "demo.json")
    parser.add_argument("--out", type=Path, default=VAR / "screenshots")
    parser.add_argument("--only", default="", help="names of pages, separated by commas")
    given = parser.parse_args()
    if not given.demo.exists():
        parser.exit(1, f"{given.demo} is not there: start the portal first (`make demo`).\n")
    given.out.mkdir(parents=True, exist_ok=True)
    only = {name for name in given.only.split(",") if name}
    with browser() as using:
        files = shoot(using, json.loads(given.demo.read_text()), given.out, only)
    print(f"{len(files)} pictures in {given.out}")  # noqa: T201


if __name__ == "__main__":
    main()
