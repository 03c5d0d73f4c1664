"""The forecast over the API: before filing, and of releases."""

import pytest

from releases.models import Release
from tenants.roles import Role
from tests import factories
from tests.api.conftest import HERE, Call, Scene, assert_documented

ASKED = {"model": "mead", "version": "1.3.0", "environment": "production"}
PATH = "releases/forecast/"


def test_forecast_files_nothing_and_says_how_long_it_takes(call: Call, scene: Scene) -> None:
    factories.baseline(scene.at_mead, 50, 0.002)
    before = Release.objects.count()
    answer = call("post", PATH, Role.VIEWER, body=ASKED)
    assert answer.status_code == 200
    assert_documented("post", HERE + PATH, answer)
    shown = answer.json()
    assert (shown["kind"], shown["decidable"], shown["expected_seconds"]) == ("certifies", True, 300)
    assert shown["sentence"].startswith("at 50 requests/s this needs about 5 min")
    assert [found["error_rate"] for found in shown["regressions"]] == [0.02, 0.05, 0.5]
    assert Release.objects.count() == before


def test_forecast_proposes_plans_that_it_then_calls_decidable(call: Call, scene: Scene) -> None:
    factories.baseline(scene.at_mead, 0.5, 0.002)
    answer = call("post", PATH, body={**ASKED, "plan": {"steps": [{"weight": 5}]}})
    assert_documented("post", HERE + PATH, answer)
    proposals = answer.json()["proposals"]
    assert answer.json()["decidable"] is False
    assert proposals
    for proposal in proposals:
        again = call("post", PATH, body={**ASKED, "plan": proposal["plan"]}).json()
        assert again["decidable"] is True


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"plan": {"steps": [{"weight": 120}]}}, "plan.steps.0.weight"),
        ({"version": "9.9.9"}, "version"),
        ({"environment": "nowhere"}, "environment"),
        ({"callback_url": "ftp://x"}, "callback_url"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_forecast_refuses_what_filing_would_refuse(call: Call, wrong: dict[str, object], field: str) -> None:
    for path in (PATH, "releases/"):
        answer = call("post", path, body={**ASKED, **wrong})
        assert answer.status_code == 422
        assert field in answer.json()["errors"]


def test_forecast_of_unknown_traffic_and_of_none_differ(call: Call, scene: Scene) -> None:
    assert call("post", PATH, body=ASKED).json()["decidable"] is None
    factories.baseline(scene.at_mead, 0, 0)
    assert call("post", PATH, body=ASKED).json()["kind"] == "no_traffic"


def test_filing_what_cannot_be_decided_works_and_says_so(call: Call, scene: Scene) -> None:
    factories.baseline(scene.at_mead, 0.1, 0.002)
    answer = call("post", "releases/", body={**ASKED})
    assert answer.status_code == 201
    assert_documented("post", HERE + "releases/", answer)
    shown = answer.json()["forecast"]
    assert shown["decidable"] is False
    assert "cannot be decided in the plan's 60 min" in shown["sentence"]


def test_release_that_has_ended_has_no_forecast(call: Call) -> None:
    assert call("get", "releases/{ended}/").json()["forecast"] is None


def test_list_of_releases_leaves_forecasts_out(call: Call) -> None:
    assert "forecast" not in call("get", "releases/").json()["results"][0]
