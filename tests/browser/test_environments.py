"""An administrator connects an environment, watches the test of it, and lets its models scale."""

from typing import Any

from django.utils import timezone
from playwright.sync_api import expect

from releases.models import AutoscalingPolicy, KubernetesPlace
from tests import factories
from tests.browser.conftest import Visit
from tests.web.conftest import Scene


def test_it_connects_an_environment_and_shows_what_the_workers_find_without_a_reload(
    scene: Scene, visit: Visit, settings: Any
) -> None:
    settings.KUBERNETES_CLUSTERS = {"main": "in-cluster"}
    factories.environment(scene.cast.acme, "lab", position=7)
    page = visit("ada")
    page.get_by_role("link", name="Environments").click()
    page.get_by_role("link", name="lab").click()
    page.get_by_role("link", name="Connect it to a cluster").click()
    page.get_by_label("Namespace").fill("acme-lab")
    page.get_by_label("Address for callers").fill("https://models.example.com")
    page.get_by_label("Artifacts in S3").fill("s3://models/acme")
    page.get_by_label("Secret for S3").fill("models-s3")
    page.get_by_role("button", name="Connect").click()
    expect(page.locator("#findings")).to_contain_text("Being tested")
    page.evaluate("window.stays = true")
    found = [{"name": "namespace", "is_good": False, "said": "is not labelled for acme"}]
    KubernetesPlace.objects.update(findings=found, examined_at=timezone.now())
    expect(page.locator("#findings")).to_contain_text("is not labelled for acme", timeout=6_000)
    assert page.evaluate("window.stays")
    assert page.locator("#findings[hx-trigger]").count() == 0


def test_it_shows_manifests_while_one_types_and_the_difference_before_it_is_applied(
    scene: Scene, visit: Visit
) -> None:
    factories.kubernetes(scene.production)
    page = visit("ada")
    page.goto("/t/acme/environments/production/autoscaling/")
    page.get_by_label("At most", exact=True).fill("1")
    expect(page.locator("#preview")).to_contain_text("has to be at least the 2")
    page.get_by_label("At most", exact=True).fill("30")
    expect(page.locator("#preview .add")).to_have_text(["  maxReplicas: 30"] * 4)
    page.get_by_role("button", name="Review the change").click()
    expect(page.get_by_role("heading", name="Change how models scale")).to_be_visible()
    page.get_by_role("button", name="Go on editing").click()
    expect(page.get_by_label("At most", exact=True)).to_have_value("30")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Apply it").click()
    expect(page.get_by_role("status").first).to_contain_text("The workers apply it within seconds")
    assert AutoscalingPolicy.objects.get().max_replicas == 30


def test_it_does_all_of_it_on_a_phone_without_script(scene: Scene, visit: Visit) -> None:
    factories.kubernetes(scene.production)
    page = visit("ada", java_script_enabled=False, viewport={"width": 360, "height": 740})
    page.goto("/t/acme/environments/production/network/")
    page.get_by_label("Shut the namespace").check()
    page.get_by_role("button", name="Preview", exact=True).last.click()
    expect(page.locator("#preview .add").first).to_contain_text("apiVersion")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Apply it").click()
    expect(page.get_by_text("All that is not named").or_(page.get_by_text("shut but for"))).to_be_visible()
    assert KubernetesPlace.objects.get().has_network_policy
    for path in (
        "",
        "production/",
        "production/autoscaling/",
        "production/connection/",
        "production/policy/",
    ):
        page.goto(f"/t/acme/environments/{path}")
        box = page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] <= 360
