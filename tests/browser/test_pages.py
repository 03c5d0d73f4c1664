"""What people do in a browser: decide, watch, act; without script too, and on a phone."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from releases.domain.release import Phase
from releases.models import Approval, Release
from tests import factories
from tests.browser.conftest import Visit
from tests.traffic import simulate
from tests.web.conftest import Scene

PATHS = (
    "",
    "releases/",
    "approvals/",
    "releases/new/",
    "models/",
    "models/wine/",
    "endpoints/",
    "traffic/",
    "environments/",
    "environments/production/",
    "environments/production/policy/",
    "releases/{canary}/",
)


def path(release: Release) -> str:
    return f"/t/acme/releases/{release.pk}/"


def test_it_approves_in_the_inbox_and_shows_the_release_move_without_a_reload(
    scene: Scene, visit: Visit
) -> None:
    page = visit("ben")
    page.get_by_role("link", name="Approvals").click()
    page.get_by_label("Comment").fill("looks right")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert Approval.objects.get().comment == "looks right"

    page.goto(path(scene.waiting))
    page.evaluate("window.stays = true")
    expect(page.locator("#release-state h2")).to_have_text("Waits for approval")
    now = timezone.now()
    factories.walk(
        scene.waiting,
        [
            (Phase.DEPLOYING, now, "1 of 1 approvals given"),
            (Phase.SMOKE_TESTING, now, "deployment ready"),
            (Phase.CANARY, now, "smoke test passed; step 1 of 1: 10 % for 300 s"),
        ],
    )
    simulate(scene.waiting, since=now - timedelta(seconds=30), seconds=30)
    expect(page.locator("#release-badge")).to_have_text("Canary", timeout=6_000)
    expect(page.locator("#release-announce")).to_contain_text("no harm seen")
    expect(page.locator('[data-plot="errors"] .main-svg').first).to_be_visible()
    expect(page.locator("#timeline li")).to_have_count(4)
    assert page.evaluate("window.stays")


def test_it_stops_asking_when_the_release_ends(scene: Scene, visit: Visit) -> None:
    page = visit("ada")
    page.goto(path(scene.canary))
    factories.walk(
        scene.canary,
        [
            (Phase.PROMOTING, timezone.now(), "certified"),
            (Phase.SUCCEEDED, timezone.now(), "100 % in effect"),
        ],
    )
    expect(page.locator("#release-badge")).to_have_text("Succeeded", timeout=6_000)
    expect(page.locator("#release-live")).to_contain_text("Ended")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(3_000)
    assert asked == []


def test_it_asks_for_the_reason_in_a_dialog_and_keeps_the_focus_while_figures_change(
    scene: Scene, visit: Visit
) -> None:
    page = visit("ada")
    page.goto(path(scene.canary))
    page.locator("#do-pause").focus()
    with page.expect_response(lambda answer: "seen=" in answer.url):
        pass
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement.id") == "do-pause"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Pause the canary of wine 1.1.0?")
    dialog.get_by_label("Reason").fill("a look at the logs")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Pause is asked for.")).to_be_visible()
    assert Release.objects.get(pk=scene.canary.pk).intent_reason == "a look at the logs"


def test_it_keeps_a_comment_that_is_being_written(scene: Scene, visit: Visit) -> None:
    page = visit("ben")
    page.goto(path(scene.waiting))
    page.get_by_label("Comment").fill("half a sen")
    page.wait_for_timeout(2_600)
    expect(page.get_by_label("Comment")).to_have_value("half a sen")


def test_it_files_a_release_with_a_step_more(scene: Scene, visit: Visit) -> None:
    page = visit("ada")
    page.goto("/t/acme/releases/new/")
    page.get_by_label("Model").select_option("perry")
    expect(page.locator("#n-sum")).to_contain_text("perry")
    page.get_by_role("button", name="Add a step").click()
    expect(page.locator("#weight-1")).to_have_value("20")
    page.get_by_role("button", name="File the release").click()
    expect(page.get_by_text("Validation begins now.")).to_be_visible()
    weights = [
        step.weight for step in Release.objects.get(endpoint__model__name="perry").rollout_plan().steps
    ]
    assert weights == [10, 20]


def test_it_works_without_script(scene: Scene, visit: Visit) -> None:
    page = visit("ada", java_script_enabled=False)
    page.goto(path(scene.canary))
    page.locator("#do-pause").click()
    page.get_by_label("Reason").fill("no script here")
    page.get_by_role("button", name="Pause").click()
    assert Release.objects.get(pk=scene.canary.pk).intent_reason == "no script here"
    page.goto("/t/acme/releases/new/")
    page.get_by_label("Model").select_option("perry")
    page.get_by_role("button", name="Show its versions").click()
    page.get_by_role("button", name="File the release").click()
    assert Release.objects.filter(endpoint__model__name="perry").exists()


@pytest.mark.parametrize("width", [360, 390, 768, 1440])
def test_it_never_scrolls_sideways(scene: Scene, visit: Visit, width: int) -> None:
    page = visit("ada", viewport={"width": width, "height": 800})
    for each in PATHS:
        page.goto("/t/acme/" + each.format(canary=scene.canary.pk))
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, each
