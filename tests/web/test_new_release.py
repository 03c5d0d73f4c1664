"""The form of a new release, which works without script."""

import re
from typing import Any

import pytest

from releases.models import Endpoint, Hold, Release
from tests import factories
from tests.web.conftest import Login, Scene

URL = "/t/acme/releases/new/"


def form(**changes: Any) -> dict[str, Any]:
    return {
        "model": "perry",
        "environment": "staging",
        "version": "1.0.0",
        "preset": "own",
        "steps": "1",
        "weight-0": "20",
        "hold-0": "60",
        "shadow": "0",
        "error_rate_max": "2",
        "compare_errors": "on",
        "promotion": "no_harm",
        "on_inconclusive": "rollback",
        "note": "please",
        "do": "file",
        **changes,
    }


def test_it_files_what_was_typed(scene: Scene, login: Login) -> None:
    answer = login("ada").post(URL, form(**{"approval-0": "on"}))
    release = Release.objects.get(endpoint__model__name="perry")
    assert (answer.status_code, answer["Location"]) == (302, f"/t/acme/releases/{release.pk}/")
    plan = release.rollout_plan()
    step = plan.steps[0]
    assert (step.weight, step.hold_seconds, step.approval) == (20, 60, True)
    assert (plan.rules.error_rate_max, plan.promotion, plan.on_inconclusive) == (0.02, "no_harm", "rollback")
    assert (release.note, release.requested_by) == ("please", "ada")


def test_it_files_every_rule_that_was_typed(scene: Scene, login: Login) -> None:
    typed = {"latency_p95_max": "250", "margin_errors": "1.5", "margin_latency": "2", "warm_up": "30"}
    login("ada").post(URL, form(**typed, alpha="0.5", beta="10", compare_predictions="on", error_rate_max=""))
    plan = Release.objects.get(endpoint__model__name="perry").rollout_plan()
    rules = plan.rules
    assert (rules.error_rate_max, rules.latency_p95_max_ms) == (None, 250)
    assert (rules.margin_errors, rules.margin_latency, rules.warm_up_seconds) == (1.5, 2, 30)
    assert (plan.alpha, plan.beta) == (0.005, 0.1)
    assert (rules.compare_errors, rules.compare_latency, rules.compare_predictions) == (True, False, True)


def test_it_opens_the_finer_rules_where_one_of_them_is_wrong(scene: Scene, login: Login) -> None:
    page = login("ada").post(URL, form(margin_latency="0.5")).content.decode()
    assert "has to be from 1 to 10, not 0.5" in page
    assert '<details class="body fold" open>' in page


def test_it_says_what_is_needed_before_traffic_moves(scene: Scene, login: Login) -> None:
    page = login("ada").get(URL, {"model": "wine", "environment": "production"}).content.decode()
    assert "1 approval, never by whoever files it" in page
    assert "has to have succeeded in staging" in page
    assert "One release at a time" in page


def test_it_offers_no_version_that_is_stable_or_on_hold(scene: Scene, login: Login) -> None:
    page = login("ada").get(URL, {"model": "mead", "environment": "production"}).content.decode()
    for version in ("1.1.0", "1.2.0"):
        choice = page[page.index(f'name="version" value="{version}"') :]
        assert choice[: choice.index(">")].endswith("disabled ")
    assert "Lift the hold first." in page


def test_it_says_before_filing_that_a_signature_breaks_its_promise(scene: Scene, login: Login) -> None:
    broken = {**factories.SIGNATURE, "inputs": factories.SIGNATURE["inputs"][:1]}
    stable = factories.version(scene.perry, "1.1.0")
    factories.version(scene.perry, "1.1.1", signature=broken)
    factories.endpoint(scene.staging, scene.perry, stable=stable)
    asked = {"model": "perry", "environment": "staging", "version": "1.1.1"}
    page = login("ada").get(URL, asked).content.decode()
    assert "more than a patch change, validation will refuse it" in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weight-0": "120"}, "has to be from 1 to 100"),
        ({"weight-0": "ten"}, "has to be a number"),
        ({"hold-0": "-5"}, "has to be from 0 to"),
        ({"steps": "2", "weight-1": "10", "hold-1": "60"}, "weights have to rise: 10 comes after 20"),
        ({"error_rate_max": "90"}, "has to be from 1e-05 to 0.5"),
        ({"shadow": "-1"}, "has to be from 0 to"),
        ({"version": "9.9.9"}, "has no version"),
        ({"version": "\x00"}, "has no version"),
        ({"model": "nothing"}, "There is no model"),
    ],
)
def test_it_marks_the_field_that_is_wrong(
    scene: Scene, login: Login, wrong: dict[str, str], said: str
) -> None:
    answer = login("ada").post(URL, form(**wrong))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page.replace("&#x27;", "'").replace("\N{NO-BREAK SPACE}", " ")
    assert "please</textarea>" in page
    assert not Release.objects.filter(endpoint__model__name="perry").exists()


def test_it_shows_a_conflict_and_keeps_the_form(scene: Scene, login: Login) -> None:
    answer = login("ada").post(URL, form(model="wine", environment="production", version="1.1.0"))
    assert answer.status_code == 409
    assert "is being released to production" in answer.content.decode()
    assert "please</textarea>" in answer.content.decode()


def test_it_names_the_hold(scene: Scene, login: Login) -> None:
    answer = login("ada").post(URL, form(model="mead", environment="production", version="1.2.0"))
    assert answer.status_code == 409
    assert Hold.objects.get().reason in answer.content.decode()


@pytest.mark.parametrize(
    ("button", "rows"), [("add", ["20", "40"]), ("remove-0", []), ("update", ["20"]), ("place", ["10"])]
)
def test_it_changes_the_form_without_filing(scene: Scene, login: Login, button: str, rows: list[str]) -> None:
    page = login("ada").post(URL, form(do=button)).content.decode()
    assert [
        w for n in range(3) for w in ("20", "40", "10") if f'name="weight-{n}" value="{w}"' in page
    ] == rows
    assert not Release.objects.filter(endpoint__model__name="perry").exists()


def test_it_fills_in_a_preset(scene: Scene, login: Login) -> None:
    page = login("ada").post(URL, form(do="preset", preset="careful")).content.decode()
    assert all(f'name="weight-{n}" value="{w}"' in page for n, w in enumerate((1, 5, 25, 50)))


def asked(scene: Scene, **traffic: float) -> dict[str, Any]:
    """The form for perry in staging, where 1.0.0 serves with this traffic."""
    stable = factories.version(scene.perry, "0.9.0")
    place = factories.endpoint(scene.staging, scene.perry, stable=stable)
    if traffic:
        factories.baseline(place, **traffic)
    return form(do="update", promotion="certified", **{"error_rate_max": "1", "weight-0": "10"})


def said(page: str) -> str:
    """The forecast in the page, without markup."""
    part = page[page.index('id="forecast"') : page.index('id="show-forecast"')]
    return part.replace("\N{NO-BREAK SPACE}", " ").replace("&#x27;", "'")


def test_it_says_before_filing_how_long_the_plan_takes(scene: Scene, login: Login) -> None:
    page = said(login("ada").post(URL, asked(scene, requests_per_second=50)).content.decode())
    assert "At the present traffic this needs" in page
    assert '<output class="big" >about 3 min</output>' in page
    assert "At 50 requests/s this needs about 3 min: certain below 1 % errors" in page


def test_it_offers_plans_that_can_be_decided_and_fills_them_in(scene: Scene, login: Login) -> None:
    ada, sent = login("ada"), asked(scene, requests_per_second=0.5)
    page = said(ada.post(URL, sent).content.decode())
    assert "cannot be decided in the plan's 60 min" in page
    buttons = re.findall(r'name="do" value="((?:weight|wait)-\d+)"', page)
    assert [button.partition("-")[0] for button in buttons] == ["weight", "wait"]
    for button, field in zip(buttons, ("weight-0", "max_canary"), strict=True):
        filled = ada.post(URL, {**sent, "do": button}).content.decode()
        assert f'name="{field}" value="{button.partition("-")[2]}"' in filled
        assert "this needs about" in said(filled)
    assert Release.objects.filter(endpoint__model=scene.perry).count() == 0


def test_it_tells_no_traffic_from_unknown_traffic(scene: Scene, login: Login) -> None:
    sent = asked(scene)
    assert "not known yet" in said(login("ada").post(URL, sent).content.decode())
    factories.baseline(Endpoint.objects.get(model=scene.perry), 0, 0)
    assert "no request reaches the endpoint" in said(login("ada").post(URL, sent).content.decode()).lower()


def test_it_gives_no_forecast_of_a_plan_that_is_not_valid(scene: Scene, login: Login) -> None:
    page = login("ada").post(URL, {**asked(scene, requests_per_second=50), "weight-0": "ten"})
    assert "as soon as the plan is valid" in said(page.content.decode())


def test_it_files_how_long_to_wait_for_the_certificate(scene: Scene, login: Login) -> None:
    login("ada").post(URL, form(max_canary="7200"))
    assert Release.objects.get(endpoint__model=scene.perry).rollout_plan().max_canary_seconds == 7200
    wrong = login("ada").post(URL, form(max_canary="-1")).content.decode()
    assert "has to be from 0 to" in wrong
