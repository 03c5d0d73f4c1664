"""The figures of a release as data: lines within their bands, limits, what drives, what was predicted."""

import math
from dataclasses import replace

import numpy as np
import pytest

from releases.domain.judge import (
    ERROR_RATE_MAX,
    ERRORS_VS_STABLE,
    LATENCY_VS_STABLE,
    PREDICTIONS_VS_STABLE,
)
from releases.domain.plan import RolloutPlan
from releases.domain.verdict import RuleState, RuleVerdict, Verdict, VerdictKind
from releases.models import ModelVersion, Release
from releases.services.charts.evidence import evidence_figure, keys_of
from releases.services.charts.latency import FEWEST_REQUESTS, latency_figure, percentiles_of
from releases.services.charts.predictions import predictions_of
from releases.services.queries.samples import ArmSeries, Series

BOUNDS = (5.0, 10.0, 20.0, 40.0)
PLAN = RolloutPlan()


def answering(per_second: tuple[int, ...], seconds: int) -> ArmSeries:
    """An arm whose answers fall into the buckets in the same way every second."""
    return ArmSeries(
        latency_at=np.arange(seconds, dtype=float), latency=np.tile(per_second, (seconds, 1)) * 1.0
    )


def latencies(series: Series, plan: RolloutPlan = PLAN) -> dict:
    found = {"stable": series.stable, "candidate": series.candidate}
    percentiles = {arm: percentiles_of(of, BOUNDS) for arm, of in found.items()}
    return latency_figure(series, percentiles, BOUNDS, plan)


def judged(*rules: tuple[str, RuleState, float], kind=VerdictKind.INCONCLUSIVE, driven_by=()) -> Verdict:
    said = tuple(
        RuleVerdict(rule, state, value, 100.0, None, None, None, "why") for rule, state, value in rules
    )
    return Verdict(kind, "so it is", said, driven_by=driven_by)


def watched(**by_rule: float) -> ArmSeries:
    names = {"errors": ERRORS_VS_STABLE, "latency": LATENCY_VS_STABLE, "predictions": PREDICTIONS_VS_STABLE}
    at = np.arange(3, dtype=float)
    return ArmSeries(
        at=at,
        harm=np.array([1.0, 2.0, 3.0]),
        certificate=np.full(3, np.nan),
        by_rule={names[name]: np.full(3, value) for name, value in by_rule.items()},
    )


def test_latency_line_never_leaves_its_band():
    series = Series(stable=answering((10, 20, 10, 4, 1), 60), candidate=answering((1, 2, 1, 1, 0), 60))
    banded = [line for line in latencies(series)["series"] if "lo" in line]
    assert [line["name"] for line in banded] == ["stable p95", "candidate p95"]
    for line in banded:
        seen = [ends for ends in zip(line["lo"], line["y"], line["hi"], strict=True) if ends[1] is not None]
        assert seen
        assert all(low <= y and (high is None or y <= high) for low, y, high in seen)


def test_latency_band_without_an_upper_edge_is_open_and_inside_the_axis():
    figure = latencies(Series(candidate=answering((0, 0, 0, 4, 6), 30)))
    p95 = next(line for line in figure["series"] if line["name"] == "candidate p95")
    assert p95["hi"][-1] is None
    assert math.isfinite(figure["y"]["range"][1])


def test_latency_quantile_waits_for_enough_requests():
    # 5 a second: the p50 is drawn from the 4th second on, the p95 from the 8th, the p99 from the 60th.
    found = percentiles_of(answering((1, 2, 1, 1, 0), 70), BOUNDS)
    for percent, fewest in FEWEST_REQUESTS.items():
        assert np.isfinite(found[percent]).argmax() == fewest / 5 - 1


def test_latency_of_too_few_says_so():
    assert "too few to tell" in latencies(Series(candidate=answering((1, 0, 0, 0, 0), 5)))["empty"]


@pytest.mark.parametrize(("limit", "is_on_axis"), [(25.0, True), (2_000.0, False)])
def test_latency_limit_is_drawn_and_squeezes_nothing(limit, is_on_axis):
    plan = replace(PLAN, rules=replace(PLAN.rules, latency_p95_max_ms=limit))
    figure = latencies(Series(candidate=answering((10, 20, 10, 1, 0), 60)), plan)
    assert figure["limits"][0]["y"] == limit
    assert (figure["y"]["range"][1] > limit) is is_on_axis


def test_evidence_of_each_rule_is_a_thin_line_beside_the_merged_one():
    verdict = judged((ERRORS_VS_STABLE, RuleState.OK, 0.5), (LATENCY_VS_STABLE, RuleState.OK, 2.0))
    figure = evidence_figure(watched(errors=0.5, latency=2.0, predictions=math.nan), PLAN, verdict, None)
    assert [(line["name"], line.get("thin", False)) for line in figure["series"]] == [
        ("harm", False),
        ("errors", True),
        ("latency", True),
    ]
    assert not any("label" in line for line in figure["series"])
    assert [(key.name, key.evidence, key.drives) for key in keys_of(verdict)] == [
        ("errors", 0.5, False),
        ("latency", 2.0, False),
    ]


def test_evidence_labels_the_rule_that_drives_a_verdict_of_harm():
    verdict = judged(
        (ERRORS_VS_STABLE, RuleState.OK, 0.5),
        (LATENCY_VS_STABLE, RuleState.HARM, 600.0),
        kind=VerdictKind.HARM,
        driven_by=(LATENCY_VS_STABLE,),
    )
    lines = {
        line["name"]: line
        for line in evidence_figure(watched(errors=0.5, latency=600.0), PLAN, verdict, None)["series"]
    }
    assert lines["latency"]["label"] == "latency drives it"
    assert (lines["latency"]["role"], lines["errors"]["role"]) == ("danger", "neutral")
    assert "label" not in lines["errors"]


def test_evidence_labels_the_loudest_rule_before_there_is_harm():
    verdict = judged((ERRORS_VS_STABLE, RuleState.FLAG, 20.0), (PREDICTIONS_VS_STABLE, RuleState.FLAG, 30.0))
    drives = {key.name for key in keys_of(verdict) if key.drives}
    assert drives == {"predictions"}


def test_evidence_that_a_limit_decides_says_which():
    verdict = judged(
        (ERROR_RATE_MAX, RuleState.HARM, 200.0), kind=VerdictKind.HARM, driven_by=(ERROR_RATE_MAX,)
    )
    figure = evidence_figure(watched(), PLAN, verdict, None)
    assert figure["series"][0]["label"] == "the error limit decides"


def release(**changes) -> Release:
    plan = changes.pop("plan", PLAN)
    changes.setdefault("stable", ModelVersion(pk=1))
    return Release(plan=plan.to_json(), plan_digest=plan.digest, **changes)


def test_predictions_are_shares_of_each_arm_with_their_intervals():
    bins = {"labels": ["red", "white"], "edges": []}
    series = Series(
        stable=ArmSeries(predictions=np.array([300.0, 100.0, 0.0])),
        candidate=ArmSeries(predictions=np.array([20.0, 20.0, 0.0])),
    )
    found = predictions_of(release(prediction_bins=bins), series, None)
    assert [one.name for one in found.bins] == ["red", "white"]  # nobody predicted anything else
    red = found.bins[0]
    assert (red.stable.rate, red.candidate.rate) == (0.75, 0.5)
    low, high = red.candidate_interval
    assert low < 0.5 < high
    assert (found.stable, found.candidate, found.why) == (400, 40, "")
    assert 0.75 < found.top <= 1


def test_predictions_of_an_arm_that_has_none_leave_the_other():
    bins = {"labels": ["red", "white"], "edges": []}
    series = Series(stable=ArmSeries(predictions=np.array([3.0, 1.0, 0.0])))
    found = predictions_of(release(prediction_bins=bins), series, None)
    assert all(one.candidate is None and one.stable is not None for one in found.bins)


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({"stable": None}, None, "no stable version"),
        (
            {"plan": replace(PLAN, rules=replace(PLAN.rules, compare_predictions=False))},
            None,
            "does not compare",
        ),
        ({}, None, "No prediction has been counted yet"),
        ({}, judged((PREDICTIONS_VS_STABLE, RuleState.OFF, 1.0)), "No predictions are counted"),
    ],
)
def test_predictions_that_are_not_there_say_why(changes, verdict, why):
    found = predictions_of(release(**changes), Series(), verdict)
    assert found.bins == ()
    assert why in found.why
