"""The panel of callbacks on a desk and on a phone, and its button by keyboard."""

import pytest
from django.utils import timezone

from releases.domain.release import Phase
from tests import factories
from tests.browser.conftest import Visit
from tests.web.conftest import Scene

LONG = "https://a-very-long-name-of-a-receiver." + "x" * 60 + ".example answers 404"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_callbacks_fit_and_are_sent_again_by_keyboard(
    scene: Scene, visit: Visit, width: int, colours: str
) -> None:
    perry = factories.endpoint(scene.production, scene.perry)
    release = factories.release(
        perry,
        scene.perry.versions.get(),
        Phase.VALIDATING,
        callback_url="https://ci.example/hook",
        commit_repository="acme/models",
        commit_sha="0" * 40,
    )
    factories.walk(release, [(Phase.DEPLOYING, timezone.now(), "valid")])
    first, *_, last = release.deliveries.all()
    first.gave_up_at, first.attempts, first.last_error = timezone.now(), 1, LONG
    first.save()
    last.delivered_at, last.attempts = timezone.now(), 1
    last.save()
    page = visit("ada", viewport={"width": width, "height": 900}, color_scheme=colours)
    page.goto(f"/t/acme/releases/{release.pk}/")
    panel = page.locator("#release-callbacks")
    assert "1 heard, 2 waiting, 1 given up" in panel.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert panel.evaluate("it => it.scrollWidth <= it.clientWidth")
    button = panel.get_by_role("button", name="Send again: callback of Validating")
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_text("is sent again within two seconds").wait_for()
    assert "1 heard, 3 waiting" in page.locator("#release-callbacks").inner_text()
