"""The verdict as people read it: its kind, its rules and its sentences."""

import json

import numpy as np
import pytest

from releases.domain.judge import (
    ArmFreshness,
    Freshness,
    Increments,
    JudgeRules,
    Reading,
    RuleBatch,
    Sample,
    SampleBatch,
    fold,
    initial_state,
    judge,
)
from releases.domain.verdict import LARGEST_EVIDENCE, RuleState, VerdictKind
from tests.domain.judge.streams import batch, judged

HEALTHY = batch((45, 0), (5, 0))
WORSE = batch((45, 0), (5, 3))
SHARED = batch((45, 12), (5, 1))
ALONE = JudgeRules(has_stable=False)


def verdict(samples, rules=None, candidate=None, stable=None):
    fresh = Freshness(
        candidate=candidate or ArmFreshness(Reading.DATA),
        stable=stable or ArmFreshness(Reading.DATA),
    )
    return judge(*judged(samples, rules), [fresh])[0]


def states(of):
    """Of the rules that are on."""
    return {rule.rule: rule.state for rule in of.rules if rule.state is not RuleState.OFF}


def rule(of, name):
    return next(rule for rule in of.rules if rule.rule == name)


def test_verdict_before_the_first_sample_is_none():
    assert verdict([]).kind is VerdictKind.NONE


def test_verdict_of_a_healthy_candidate_names_the_time_still_needed():
    got = verdict([HEALTHY] * 20)
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert got.summary == (
        "no harm seen; 0 % errors in 100 requests; certain below 1 % in about 60 s at this traffic"
    )
    assert states(got) == {
        "errors_vs_stable": RuleState.OK,
        "error_rate_max": RuleState.INCONCLUSIVE,
    }
    assert rule(got, "errors_vs_stable").limit == pytest.approx(100)
    assert rule(got, "error_rate_max").limit == pytest.approx(20)


def test_verdict_of_a_proven_candidate_is_certified():
    got = verdict([HEALTHY] * 100)
    assert got.kind is VerdictKind.CERTIFIED
    assert got.summary == "certified below 1 %: 0 % errors in 500 requests"
    assert got.certificate_evidence >= 20
    assert got.seconds_to_certificate is None
    assert "proven below 1 %" in rule(got, "error_rate_max").explanation


def test_verdict_of_a_worse_candidate_is_harm_and_says_what_the_evidence_means():
    got = verdict([HEALTHY] * 10 + [WORSE] * 2)
    assert got.kind is VerdictKind.HARM
    assert got.summary == "harm: 10 % errors in 60 requests; stable has 0 % errors in 540 requests"
    assert got.harm_evidence >= 100
    why = rule(got, "errors_vs_stable").explanation
    assert why.startswith("candidate: 6 errors in 60 requests, 10 % (")
    assert "two versions that fail alike would reach this evidence at most once in" in why
    assert states(got)["error_rate_max"] is RuleState.HARM
    assert "so it is to blame" in rule(got, "error_rate_max").explanation


def test_verdict_while_evidence_grows_is_not_certified():
    """Proven below its limit, then something begins: half way to harm is enough to wait."""
    got = verdict([HEALTHY] * 400 + [batch((45, 0), (5, 2)), batch((45, 1), (5, 1))])
    assert got.certificate_evidence >= 20
    assert 10 <= got.harm_evidence < 100
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert got.summary.startswith("something speaks of harm, not enough to be sure")
    assert RuleState.FLAG in states(got).values()


def test_verdict_of_a_proven_candidate_in_doubt_is_not_certified_and_says_why():
    """Far from harm: but what is on its way to be found must not be promoted just before."""
    rules, state = RuleBatch.of([JudgeRules()]), initial_state(1)
    alike, other = (Increments(1.0, n, 0, predictions=(n - k, k)) for n, k in ((45, 5), (5, 2)))
    for _ in range(100):
        state = fold(rules, state, SampleBatch.of([Sample(1.0, alike, Increments(1.0, 5, 0))]))
    assert judge(rules, state, [Freshness()])[0].kind is VerdictKind.CERTIFIED
    for _ in range(10):
        state = fold(rules, state, SampleBatch.of([Sample(1.0, alike, other)]))
    got = judge(rules, state, [Freshness()])[0]
    assert rule(got, "predictions_vs_stable").evidence >= 2
    assert got.harm_evidence < 10
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert "not certified while the comparison of predictions gives reason to doubt" in got.summary


def test_verdict_of_a_proven_candidate_is_not_held_up_by_a_single_error():
    assert verdict([HEALTHY] * 400 + [batch((45, 0), (5, 1))]).kind is VerdictKind.CERTIFIED


def test_verdict_when_both_arms_fail_is_a_shared_incident():
    got = verdict([HEALTHY] * 5 + [SHARED] * 10)
    assert got.kind is VerdictKind.SHARED_INCIDENT
    assert "both versions fail" in got.summary
    assert states(got)["error_rate_max"] is RuleState.FLAG
    assert "a shared incident" in rule(got, "error_rate_max").explanation


def test_verdict_of_a_worse_candidate_in_a_shared_incident_is_harm():
    assert verdict([batch((45, 12), (5, 5))] * 10).kind is VerdictKind.HARM


def test_verdict_of_a_broken_limit_that_stable_may_share_waits():
    """Above the limit for sure, but stable has so little traffic that it may be as bad."""
    got = verdict([batch((2, 0), (48, 1))] * 40, JudgeRules(error_rate_max=0.005))
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert "not blamed on the candidate yet" in got.summary
    assert states(got)["error_rate_max"] is RuleState.FLAG


def test_verdict_without_stable_is_decided_by_the_limit():
    got = verdict([batch((0, 0), (50, 5))] * 5, ALONE)
    assert got.kind is VerdictKind.HARM
    assert "errors_vs_stable" not in states(got)
    assert got.harm_evidence == rule(got, "error_rate_max").evidence
    assert got.summary == "harm: 10 % errors in 250 requests; the limit is 1 %"


def test_verdict_without_comparison_is_decided_by_the_limit_unless_stable_fails_as_well():
    rules = JudgeRules(compare_errors=False)
    assert verdict([batch((45, 0), (5, 3))] * 5, rules).kind is VerdictKind.HARM
    assert verdict([batch((45, 30), (5, 3))] * 5, rules).kind is VerdictKind.SHARED_INCIDENT


def test_verdict_with_silent_stable_is_decided_by_the_limit_after_a_while():
    """All traffic is on the candidate: there is nothing to compare with."""
    stream = [HEALTHY] * 30 + [batch((0, 0), (50, 5))] * 5
    silent = [ArmFreshness(Reading.NO_DATA, seconds) for seconds in (5, 31)]
    assert verdict(stream, stable=silent[0]).kind is VerdictKind.INCONCLUSIVE
    assert verdict(stream, stable=silent[1]).kind is VerdictKind.HARM


def test_verdict_without_any_rule_never_decides():
    got = verdict([WORSE] * 50, JudgeRules(error_rate_max=None, compare_errors=False, compare_latency=False))
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert got.certificate_evidence is None
    assert not states(got)


@pytest.mark.parametrize(
    ("samples", "seconds", "kind"),
    [
        ([batch((45, 0), (0, 0))], 1, VerdictKind.NO_DATA),
        ([HEALTHY], 5, VerdictKind.INCONCLUSIVE),
        ([HEALTHY], 11, VerdictKind.NO_DATA),
        ([HEALTHY] * 100, 60, VerdictKind.CERTIFIED),
        ([WORSE] * 5, 60, VerdictKind.HARM),
    ],
)
def test_verdict_with_a_silent_candidate_waits_but_undoes_no_decision(samples, seconds, kind):
    assert verdict(samples, candidate=ArmFreshness(Reading.NO_DATA, seconds)).kind is kind


@pytest.mark.parametrize(
    ("samples", "seconds", "kind"),
    [
        ([], 1, VerdictKind.UNREACHABLE),
        ([HEALTHY], 5, VerdictKind.INCONCLUSIVE),
        ([HEALTHY], 11, VerdictKind.UNREACHABLE),
        ([HEALTHY] * 100, 60, VerdictKind.UNREACHABLE),
        ([WORSE] * 5, 60, VerdictKind.HARM),
    ],
)
def test_verdict_with_an_unreachable_candidate_holds(samples, seconds, kind):
    gone = ArmFreshness(Reading.UNREACHABLE, seconds)
    assert verdict(samples, candidate=gone).kind is kind


def test_verdict_with_an_unreachable_stable_says_which():
    gone = ArmFreshness(Reading.UNREACHABLE, 14)
    got = verdict([HEALTHY] * 100, stable=gone)
    assert got.kind is VerdictKind.UNREACHABLE
    assert got.summary == ("the figures of stable have been unreadable for 15 s; holding until they are back")
    assert verdict([HEALTHY] * 100, ALONE, stable=gone).kind is VerdictKind.CERTIFIED


def test_verdict_with_no_traffic_at_all_says_so():
    silent = ArmFreshness(Reading.NO_DATA, 3)
    got = verdict([batch((45, 0), (0, 0))] * 3, candidate=silent)
    assert got.summary == "no request has reached the candidate yet; waiting"
    assert set(states(got).values()) == {RuleState.NO_DATA}


def test_verdict_during_the_warm_up_says_so():
    got = verdict([WORSE] * 3, JudgeRules(warm_up_seconds=30))
    assert got.kind is VerdictKind.INCONCLUSIVE
    assert got.summary == "warming up: the first 30 s are not judged"


def test_verdict_with_a_margin_says_what_it_accepts():
    got = verdict([WORSE] * 5, JudgeRules(margin_errors=1.25))
    assert "within 1.25 times stable's" in rule(got, "errors_vs_stable").explanation


@pytest.mark.parametrize("counts", [((0, 0), (10**9, 10**9)), ((10**9, 0), (10**9, 10**9))])
def test_verdict_of_extreme_counts_is_valid_json(counts):
    for rules in (JudgeRules(), ALONE):
        got = verdict([batch(*counts)] * 3, rules)
        shown = json.loads(json.dumps(got.to_json(), allow_nan=False))
        assert shown["harm_evidence"] <= LARGEST_EVIDENCE


def test_verdicts_of_a_batch_are_those_of_each_release_alone():
    rules = [JudgeRules(), ALONE, JudgeRules(margin_errors=1.5), JudgeRules(error_rate_max=None)]
    table, state, rng = RuleBatch.of(rules), initial_state(len(rules)), np.random.default_rng(2)
    alone = [initial_state(1) for _ in rules]
    for _ in range(40):
        stable, candidate = rng.poisson(45, 4), rng.poisson(5, 4)
        errors = rng.binomial(stable, 0.01), rng.binomial(candidate, 0.2)
        state = fold(table, state, batch((stable, errors[0]), (candidate, errors[1])))
        for row, rule in enumerate(rules):
            sample = batch((stable[row], errors[0][row]), (candidate[row], errors[1][row]))
            alone[row] = fold(RuleBatch.of([rule]), alone[row], sample)
    together = judge(table, state, [Freshness()] * len(rules))
    for row, rule in enumerate(rules):
        by_itself = judge(RuleBatch.of([rule]), alone[row], [Freshness()])[0]
        assert by_itself.summary == together[row].summary
        assert by_itself.kind is together[row].kind
        assert by_itself.harm_evidence == pytest.approx(together[row].harm_evidence, rel=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"error_rate_max": 0.0},
        {"error_rate_max": 1.0},
        {"margin_errors": 0.9},
        {"alpha": 0.0},
        {"beta": 1.0},
        {"warm_up_seconds": -1.0},
        {"alpha": float("nan")},
    ],
)
def test_rules_that_make_no_sense_raise(changes):
    with pytest.raises(ValueError, match="must"):
        JudgeRules(**changes)
