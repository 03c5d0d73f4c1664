"""The page of a release, and the fragment of it that lives."""

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from releases.domain.release import Phase
from releases.models import Release
from tests import factories
from tests.web.conftest import Login, Scene

HTMX = {"HTTP_HX_REQUEST": "true"}


def url(release: Release) -> str:
    return f"/t/acme/releases/{release.pk}/"


def figures(page: str) -> dict[str, dict]:  # type: ignore[type-arg]
    found = re.findall(r'<script type="application/json" data-figure="(\w+)">(.*?)</script>', page, re.S)
    return {name: json.loads(text) for name, text in found}


def show(client: Client, release: Release, **more: str) -> str:
    answer = client.get(url(release), **more)
    assert answer.status_code in (200, 286)
    return answer.content.decode()


def test_it_says_the_state_the_reason_and_what_is_next(scene: Scene, login: Login) -> None:
    page = show(login("ada"), scene.canary)
    assert "Inconclusive, no harm seen" in page
    assert "errors in" in page
    assert "Nothing to do." in page
    assert "Promotes by itself when the hold is over and the candidate is certified" in page


def test_it_warns_near_the_verdict_when_stable_failed_its_self_test(scene: Scene, login: Login) -> None:
    assert 'id="self-test"' not in show(login("ada"), scene.canary)
    for warns in (False, True):
        scene.canary.self_test = {"warns": warns, "sentence": "stable's errors come in bursts"}
        scene.canary.save(update_fields=["self_test"])
        page = show(login("ada"), scene.canary)
        assert ("errors come in bursts" in page) is warns
    assert page.index('id="self-test"') < page.index('id="verdict-title"')


def test_it_draws_every_sample_of_both_arms(scene: Scene, login: Login) -> None:
    drawn = figures(show(login("cleo"), scene.canary))
    assert set(drawn) == {"split", "errors", "latency", "evidence"}
    stable, candidate = drawn["errors"]["series"]
    assert (stable["role"], candidate["role"]) == ("stable", "candidate")
    counted = scene.canary.last_verdict().rules[0].candidate
    assert candidate["y"][-1] == float(f"{100 * counted.rate:.4g}")
    assert candidate["lo"][-1] <= candidate["y"][-1] <= candidate["hi"][-1]
    assert [limit["y"] for limit in drawn["evidence"]["limits"]] == [100, 20]
    assert drawn["split"]["series"][1]["y"][-1] == 10
    assert [mark["label"] for mark in drawn["errors"]["marks"]] == ["canary 10 %", "hold ends"]


def test_it_says_why_a_chart_is_empty(scene: Scene, login: Login) -> None:
    assert figures(show(login("cleo"), scene.waiting))["errors"] == {
        "empty": "No traffic has moved. Samples begin with the canary."
    }


def test_it_offers_an_operator_what_is_possible_now(scene: Scene, login: Login) -> None:
    page = show(login("ada"), scene.canary)
    assert f"{url(scene.canary)}pause/" in page
    assert f'href="{url(scene.canary)}resume/"' not in page


def test_it_offers_an_approver_the_decision_and_no_act(scene: Scene, login: Login) -> None:
    page = show(login("ben"), scene.waiting)
    assert "Waits for your approval" in page
    assert f'action="{url(scene.waiting)}decide/"' in page
    assert f"{url(scene.waiting)}abort/" not in page


def test_it_shows_what_a_check_found(scene: Scene, login: Login) -> None:
    page = show(login("ben"), scene.waiting)
    assert "<code>tannin</code>" in page


def test_it_shows_the_hold_and_the_way_back_of_a_rollback(scene: Scene, login: Login) -> None:
    page = show(login("ada"), scene.ended)
    assert "1.2.0 on hold" in page
    assert "/endpoints/production/mead/lift/?version=1.2.0" in page
    assert "hx-get" not in page


def test_it_links_to_the_evidence_document(scene: Scene, login: Login) -> None:
    assert f"/api/v1/tenants/acme/releases/{scene.canary.pk}/evidence/" in show(login("cleo"), scene.canary)


def test_it_answers_htmx_with_the_live_parts_only(scene: Scene, login: Login) -> None:
    whole = show(login("ada"), scene.canary)
    seen = re.search(r'hx-get="[^"]*\?seen=([^"]+)"', whole)
    assert seen is not None
    answer = login("ada").get(url(scene.canary), {"seen": seen[1]}, **HTMX)
    part = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="release-state"' in part
    assert set(figures(part)) == {"split", "errors", "latency", "evidence"}
    for left_alone in ("<html", 'id="decide"', 'id="release-announce"', 'id="release-charts"'):
        assert left_alone not in part


def test_it_announces_only_a_change(scene: Scene, login: Login) -> None:
    part = show(login("ada"), scene.canary, **HTMX)
    assert 'id="release-announce"' in part
    assert "Inconclusive, no harm seen." in part


def test_it_brings_the_charts_when_traffic_begins(scene: Scene, login: Login) -> None:
    answer = login("ada").get(url(scene.canary), {"seen": "smoke_testing-0-0-0"}, **HTMX)
    assert 'id="release-charts" hx-swap-oob="true"' in answer.content.decode()


def test_it_stops_asking_when_the_release_has_ended(scene: Scene, login: Login) -> None:
    answer = login("ada").get(url(scene.ended), **HTMX)
    assert answer.status_code == 286
    assert b"hx-get" not in answer.content


def test_it_tells_a_chain_that_was_tampered_with(scene: Scene, login: Login) -> None:
    assert "chain whole" in show(login("ada"), scene.canary)
    now = timezone.now()
    broken = scene.waiting.transitions.model(
        tenant=scene.cast.acme, release=scene.waiting, sequence=2, at=now, from_phase="validating",
        to_phase="awaiting_approval", step=0, split_candidate=0, reason="x", actor="x",
        previous_hash="0" * 64, hash="f" * 64,
    )  # fmt: skip
    broken.save(force_insert=True)
    assert "chain broken" in show(login("ada"), scene.waiting)


def test_it_escapes_what_people_write(scene: Scene, login: Login) -> None:
    Release.objects.filter(pk=scene.waiting.pk).update(
        note="<script>alert(1)</script>", reason="<b>x</b> 5 s"
    )
    page = show(login("ben"), scene.waiting)
    assert "<script>alert" not in page
    assert "<b>x</b>" not in page


def test_it_keeps_to_a_strict_policy(scene: Scene, login: Login) -> None:
    answer = login("ada").get(url(scene.canary))
    page = answer.content.decode()
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert not re.search(r"<[^>]+ (style|on\w+)=", page)
    assert all("src=" in tag or "application/json" in tag for tag in re.findall(r"<script[^>]*>", page))


def test_it_costs_the_same_however_long_the_history(
    scene: Scene, login: Login, django_assert_max_num_queries: object
) -> None:
    client = login("ada")
    for number in range(30):
        at = timezone.now() + timedelta(seconds=number)
        factories.walk(scene.canary, [(Phase.PAUSED, at, "paused"), (Phase.CANARY, at, "resumed")])
    with django_assert_max_num_queries(22):  # type: ignore[operator]
        show(client, scene.canary)


def test_it_draws_where_the_certificate_is_expected_to_go(scene: Scene, login: Login) -> None:
    series = figures(show(login("cleo"), scene.canary))["evidence"]["series"]
    certificate, future = series[1], series[2]
    assert (future["name"], future["faint"], future["role"]) == ("certificate, forecast", True, "success")
    assert future["x"][0] == certificate["x"][-1]
    assert future["y"][0] == pytest.approx(certificate["y"][-1], rel=1e-3)
    assert all(low <= y <= high for low, y, high in zip(future["lo"], future["y"], future["hi"], strict=True))


def test_it_says_when_certainty_is_to_be_expected(scene: Scene, login: Login) -> None:
    page = show(login("cleo"), scene.canary).replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(
        r"<dt>Certain in about</dt><dd>\d+ (s|min)</dd><dd>(at this traffic|[^<]+ to [^<]+)</dd>", page
    )
    assert "certain below 1 % errors in about" in page


def test_it_warns_of_a_plan_that_cannot_be_decided(scene: Scene, login: Login) -> None:
    calm = show(login("ben"), scene.waiting)
    assert "cannot be decided" not in calm
    factories.baseline(scene.waiting.endpoint, 0.5, 0.002)
    page = show(login("ben"), scene.waiting).replace("\N{NO-BREAK SPACE}", " ")
    assert "This plan cannot be decided with the present traffic." in page
    assert "give the last step" in page
    factories.baseline(scene.waiting.endpoint, 50, 0.002)
    assert "<dt>Forecast</dt>" in show(login("ben"), scene.waiting)
