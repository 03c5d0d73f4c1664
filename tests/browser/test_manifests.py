"""The manifests on the page of a release, on a phone and by keyboard."""

from django.utils import timezone

from releases.models import ReleaseManifest
from tests.browser.conftest import Visit
from tests.web.conftest import Scene

LONG = "  modelUri: s3://models/acme/production/wine/1.1.0/" + "9f3ac1d2" * 8
BEFORE = "kind: SeldonDeployment\nspec:\n  predictors:\n" + "".join(
    f"  - name: v1-{number}-0\n    traffic: 0\n" for number in range(20)
)
AFTER = BEFORE + f"  - name: v1-99-0\n    traffic: 0\n{LONG}\n"


def test_manifests_fit_a_phone_scroll_their_long_lines_and_open_by_keyboard(
    scene: Scene, visit: Visit
) -> None:
    ReleaseManifest.objects.create(
        tenant=scene.waiting.tenant,
        release=scene.waiting,
        before=BEFORE,
        after=AFTER,
        at=timezone.now(),
    )
    page = visit("ben", viewport={"width": 390, "height": 800})
    page.goto(f"/t/acme/releases/{scene.waiting.pk}/")
    panel = page.locator("#release-manifests")
    assert panel.locator(".add").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shown = panel.locator("pre").first
    assert shown.evaluate("it => it.scrollWidth > it.clientWidth")
    whole = panel.get_by_role("region", name="The exact manifests")
    assert not whole.is_visible()
    panel.locator("summary").focus()
    page.keyboard.press("Enter")
    assert whole.is_visible()
    page.keyboard.press("Tab")
    assert whole.evaluate("it => it === document.activeElement")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
