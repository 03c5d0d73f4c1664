"""The verdict on a release's page: all rules, what is counted, what drives it, what is off and why."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from releases.domain.judge import ERRORS_VS_STABLE, LATENCY_P95_MAX, PREDICTIONS_VS_STABLE
from releases.domain.plan import RolloutPlan
from releases.domain.release import Phase
from releases.domain.verdict import RuleState, RuleVerdict, Verdict, VerdictKind
from releases.models import Release
from releases.services.queries.verdict_table import table_of
from releases.templatetags.words import LOOKS
from tests import factories
from tests.traffic import simulate
from tests.web.conftest import Login, Scene
from tests.web.test_release_page import HTMX, show


def canary(scene: Scene, name: str, plan: dict[str, Any] | None = None, **traffic: Any) -> Release:
    """A canary of its own with simulated traffic."""
    model = factories.model(scene.cast.acme, name)
    at = factories.endpoint(scene.production, model, stable=factories.version(model, "1.0.0"))
    began = timezone.now() - timedelta(seconds=traffic.setdefault("seconds", 30) + 5)
    release = factories.release(at, factories.version(model, "1.1.0"), Phase.VALIDATING, at=began, plan=plan)
    factories.walk(release, [(Phase.CANARY, began, "smoke test passed; step 1 of 1: 10 % for 300 s")])
    simulate(release, since=began, **traffic)
    return release


def rows(page: str) -> dict[str, str]:
    """Name of the rule -> its row as plain text."""
    found = re.findall(
        r'(?s)<tr role="row" ?(class="\w+")? ?>(.*?)</tr>', re.sub(r"(?s)<thead.*?</thead>", "", page)
    )
    table = {}
    for css, row in found:
        name = re.search(r'role="rowheader">(?:<span class="rule-name">)?([^<]+)', row)
        if name:
            text = html.unescape(re.sub(r"<[^>]+>", " ", row)).replace("\N{NO-BREAK SPACE}", " ")
            table[name[1].replace("\N{NO-BREAK SPACE}", " ")] = f"{css} {' '.join(text.split())}"
    return table


def test_table_shows_every_rule_and_what_it_counts(scene: Scene, login: Login) -> None:
    thirds = ([0.4, 0.3, 0.3], [0.4, 0.3, 0.3])
    plan = {"rules": {"latency_p95_max_ms": 40}}
    table = rows(show(login("cleo"), canary(scene, "rum", plan, predicts=thirds)))
    assert list(table) == [
        "Errors against stable",
        "Latency against stable",
        "Predictions against stable",
        "Errors below 1 %",
        "p95 below 40 ms",
    ]
    assert re.search(r"slower than \d+ ms", table["Latency against stable"])
    assert "predicted class_" in table["Predictions against stable"]
    assert "slower than 40 ms" in table["p95 below 40 ms"]
    assert "of 20 to certify" in table["p95 below 40 ms"]
    assert "limit 5 %" in table["p95 below 40 ms"]
    assert not any("drives the verdict" in row for row in table.values())


def test_table_shows_rules_that_are_off_quietly_and_why(scene: Scene, login: Login) -> None:
    plan = {"rules": {"compare_latency": False}}
    table = rows(show(login("cleo"), canary(scene, "gin", plan)))
    assert list(table)[-3:] == ["Latency against stable", "Predictions against stable", "Latency limit"]
    assert "quiet" in table["Latency against stable"]
    assert "The plan does not compare latency with stable's." in table["Latency against stable"]
    assert "The plan sets no limit on latency." in table["Latency limit"]
    assert "No predictions are counted." in table["Predictions against stable"]


def test_table_marks_what_drives_a_verdict_of_harm(scene: Scene, login: Login) -> None:
    release = canary(scene, "whisky", slower=1.5, seconds=120)
    assert release.last_verdict().kind is VerdictKind.HARM
    page = show(login("cleo"), release)
    marked = [name for name, row in rows(page).items() if "drives the verdict" in row]
    assert marked == ["Latency against stable"]
    assert "latency drives it" in page


def test_table_keeps_its_roles_where_it_becomes_cards(scene: Scene, login: Login) -> None:
    table = re.search(r"<table class=\"table top rules\".*?</table>", show(login("cleo"), scene.canary), re.S)
    assert table is not None
    for tag, role in (("table", "table"), ("tr", "row"), ("td", "cell"), ("thead", "rowgroup")):
        found = re.findall(rf"<{tag}\b[^>]*>", table[0])
        assert found
        assert all(f'role="{role}"' in each for each in found)


def test_page_lists_shares_of_predictions_and_says_when_there_are_none(scene: Scene, login: Login) -> None:
    assert "No predictions are counted." in show(login("cleo"), scene.canary)
    release = canary(scene, "port", predicts=([0.5, 0.5], [0.5, 0.5]))
    page = show(login("cleo"), release)
    assert len(re.findall(r'<li><span class="bin">class_\d', page)) == 2
    part = show(login("cleo"), release, **HTMX)
    assert 'id="release-predictions"' in part


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_page_of_a_canary_with_hardly_any_requests_is_whole(scene: Scene, login: Login, rate: float) -> None:
    page = show(login("ada"), canary(scene, "ale", candidate_rate=rate, seconds=3))
    assert "Verdict by rule" in page


def test_page_of_a_canary_without_any_sample_is_whole(scene: Scene, login: Login) -> None:
    model = factories.model(scene.cast.acme, "stout")
    at = factories.endpoint(scene.production, model, stable=factories.version(model, "1.0.0"))
    release = factories.release(at, factories.version(model, "1.1.0"), Phase.CANARY)
    assert "no sample yet" in show(login("ada"), release)


def rule(name: str, state: RuleState) -> RuleVerdict:
    return RuleVerdict(name, state, 3.0, 100.0, None, None, None, "why")


def test_notice_is_shown_calmly() -> None:
    verdict = Verdict(VerdictKind.INCONCLUSIVE, "calm", (rule(PREDICTIONS_VS_STABLE, RuleState.NOTICE),))
    [line] = table_of(verdict, RolloutPlan(), has_stable=True).lines
    assert (line.name, line.drives) == ("Predictions against stable", False)
    look = LOOKS[RuleState.NOTICE]
    assert look.tone not in ("warn", "danger")
    assert look.shape not in {LOOKS[state].shape for state in RuleState if state is not RuleState.NOTICE}


def test_every_state_of_a_rule_has_a_look_of_its_own() -> None:
    assert len({LOOKS[state] for state in RuleState}) == len(RuleState)


def test_merged_weights_go_to_what_is_compared() -> None:
    verdict = Verdict(VerdictKind.INCONCLUSIVE, "", (rule(ERRORS_VS_STABLE, RuleState.OK),))
    assert table_of(verdict, RolloutPlan(), has_stable=True).merged == (
        "errors 50 %, latency 37.5 %, predictions 12.5 %"
    )
    plan = RolloutPlan.from_json({"rules": {"compare_latency": False}})
    assert table_of(verdict, plan, has_stable=True).merged == "errors 80 %, predictions 20 %"
    assert table_of(verdict, plan, has_stable=False).merged == ""


def test_a_broken_limit_is_shown_as_harm_and_a_certificate_as_none() -> None:
    rules = (rule(LATENCY_P95_MAX, RuleState.FLAG), rule(ERRORS_VS_STABLE, RuleState.OK))
    plan = RolloutPlan.from_json({"rules": {"latency_p95_max_ms": 40}})
    lines = table_of(Verdict(VerdictKind.INCONCLUSIVE, "", rules), plan, has_stable=True).lines
    assert [line.tone for line in lines] == ["danger", "danger"]
    kept = Verdict(VerdictKind.CERTIFIED, "", (rule(LATENCY_P95_MAX, RuleState.CERTIFIED),))
    assert [line.tone for line in table_of(kept, plan, has_stable=True).lines] == ["success"]
