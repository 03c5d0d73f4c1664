"""Latency: at which bounds the arms are compared, what is found there, and the limit on the p95."""

import numpy as np
import pytest

from releases.domain.judge import (
    Freshness,
    Increments,
    JudgeRules,
    RuleBatch,
    Sample,
    SampleBatch,
    fold,
    initial_state,
    judge,
    tell_baseline,
    weigh,
)
from releases.domain.judge import state as slots
from releases.domain.verdict import VerdictKind

BOUNDS = (5.0, 10.0, 20.0, 50.0, 100.0)
USUAL = (40, 30, 20, 6, 3, 1)
SLOWER = (1, 2, 3, 2, 1, 1)


def arm(latency, bounds=BOUNDS):
    return Increments(1.0, sum(latency), 0, latency, bounds)


def follow(samples, rules=None, state=None):
    table = RuleBatch.of([rules or JudgeRules()])
    state = initial_state(1) if state is None else state
    for stable, candidate in samples:
        state = fold(table, state, SampleBatch.of([Sample(1.0, stable, candidate)]))
    return table, state


def chosen(state):
    return [bound for bound in state[0, slots.BOUNDS] if bound > 0]


def told(latency, bounds=BOUNDS):
    return tell_baseline(initial_state(1), SampleBatch.of([Sample(60.0, arm(latency, bounds), None)]))


def harm(pairs, rules=None):
    return float(weigh(*follow(pairs, rules)).harm[0])


def test_bounds_are_those_with_a_telling_share_of_stables_answers_above():
    # Above them: 98 %, 97.5 %, 40 %, 0.3 %, 0.1 %.
    assert chosen(told((20, 5, 575, 397, 2, 1))) == [20.0, 50.0]


def test_bounds_between_which_nothing_was_answered_are_compared_once():
    assert chosen(told((50, 0, 0, 40, 0, 10))) == [5.0, 50.0]


def test_bounds_are_at_most_eight_spread_over_all_that_tell_something():
    many = tuple(float(bound) for bound in range(1, 16))
    bounds = chosen(told((20,) * 16, many))
    assert len(bounds) == slots.MOST_THRESHOLDS
    assert bounds[0] == 7  # 9 of 16 answers are slower
    assert bounds[-1] >= 13
    assert max(np.diff(bounds)) <= 2


def test_bounds_are_chosen_once_enough_of_stable_is_known_and_never_again():
    small, other = arm((20, 15, 10, 3, 1, 0)), arm((0, 0, 0, 0, 10, 90))
    _, state = follow([(small, None)] * 2)
    assert chosen(state) == []
    _, state = follow([(small, None)] * 3)
    before = chosen(state)
    assert before == [5.0, 10.0, 20.0, 50.0, 100.0]
    _, state = follow([(other, None)] * 20, state=state)
    assert chosen(state) == before


def test_bounds_of_a_told_stable_do_not_depend_on_what_the_candidate_does():
    _, state = follow([(arm(USUAL), arm((0, 0, 0, 0, 0, 50)))], state=told(USUAL))
    assert chosen(state) == chosen(told(USUAL))


def test_sample_that_chooses_the_bounds_is_no_evidence_at_them():
    table, state = follow([(arm((60, 30, 20, 6, 3, 1)), arm((0, 0, 0, 0, 0, 10)))])
    assert chosen(state)
    assert weigh(table, state).parts[0, 1] == pytest.approx(0)


def test_slower_candidate_is_harm_and_the_sentence_names_a_bound():
    table, state = follow([(arm(USUAL), arm(SLOWER))] * 40)
    verdict = judge(table, state, [Freshness()])[0]
    assert verdict.kind is VerdictKind.HARM
    assert verdict.driven_by == ("latency_vs_stable",)
    assert "slower than stable" in verdict.summary
    assert " ms" in verdict.summary


@pytest.mark.parametrize("candidate", [(4, 3, 2, 1, 0, 0), (9, 1, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0)])
def test_candidate_that_is_not_slower_is_no_harm(candidate):
    assert harm([(arm(USUAL), arm(candidate))] * 100) < np.log(3)


def test_slower_candidate_within_the_margin_is_accepted():
    slower = [(arm(USUAL), arm((6, 5, 4, 2, 1, 0)))] * 60
    found = [harm(slower, JudgeRules(margin_latency=margin)) for margin in (1.0, 1.5, 4.0)]
    assert found[0] > found[1] > found[2]
    assert found[0] > np.log(100)
    assert found[2] < np.log(3)


def test_latency_that_is_not_compared_is_no_evidence():
    rules = JudgeRules(compare_latency=False)
    assert harm([(arm(USUAL), arm(SLOWER))] * 40, rules) < np.log(3)


def test_histogram_with_other_bounds_takes_no_part_at_the_old_ones():
    table, state = follow([(arm(USUAL), arm((4, 3, 2, 1, 0, 0)))] * 5)
    before = weigh(table, state).parts[0, 1]
    other = (7.0, 70.0)
    _, state = follow([(arm((90, 9, 1), other), arm((0, 0, 9), other))] * 20, state=state)
    assert weigh(table, state).parts[0, 1] == pytest.approx(before)


def test_histograms_of_unlike_bounds_are_not_compared():
    assert harm([(arm((90, 9, 1), (7.0, 70.0)), arm(SLOWER))] * 40) == pytest.approx(0)


def test_p95_limit_counts_at_the_smallest_bound_that_is_not_below_it():
    for limit, slow in ((20.0, 4), (20.1, 2), (50.0, 2), (51.0, 1)):
        _, state = follow([(arm(USUAL), arm(SLOWER))], JudgeRules(latency_p95_max_ms=limit))
        assert state[0, slots.CANDIDATE_SLOW] == slow
        assert state[0, slots.CANDIDATE_TIMED] == 10


def test_p95_limit_that_only_the_candidate_breaks_is_harm():
    rules = JudgeRules(latency_p95_max_ms=20.0)
    table, state = follow([(arm((50, 30, 18, 2, 0, 0)), arm(SLOWER))] * 60, rules)
    verdict = judge(table, state, [Freshness()])[0]
    assert verdict.kind is VerdictKind.HARM
    assert weigh(table, state).slow_limit[0] > np.log(200)


def test_p95_limit_that_both_break_is_a_shared_incident():
    rules = JudgeRules(latency_p95_max_ms=20.0)
    both = arm((20, 20, 10, 30, 10, 10)), arm((2, 2, 1, 3, 1, 1))
    table, state = follow([both] * 60, rules)
    verdict = judge(table, state, [Freshness()])[0]
    assert verdict.kind is VerdictKind.SHARED_INCIDENT
    assert "both versions are too slow" in verdict.summary


def test_p95_limit_that_is_kept_is_certified():
    rules = JudgeRules(error_rate_max=None, latency_p95_max_ms=50.0)
    table, state = follow([(arm(USUAL), arm((5, 3, 2, 0, 0, 0)))] * 30, rules)
    assert judge(table, state, [Freshness()])[0].kind is VerdictKind.CERTIFIED


def test_p95_limit_beyond_the_last_bound_is_neither_broken_nor_certified():
    """What is slower than the last bound may still be within the limit: nothing is known."""
    rules = JudgeRules(latency_p95_max_ms=150.0)
    table, state = follow([(arm((0, 0, 0, 0, 0, 100)), arm((0, 0, 0, 0, 0, 10)))] * 200, rules)
    evidence = weigh(table, state)
    assert not evidence.slow_measurable[0]
    assert evidence.slow_limit[0] == pytest.approx(0)
    assert evidence.slow_certificate[0] == pytest.approx(0)
    # The error limit still can be certified.
    assert judge(table, state, [Freshness()])[0].kind is VerdictKind.CERTIFIED


def test_p95_limit_without_any_latency_certifies_nothing_and_says_why():
    counted = Increments(1.0, 100, 0)
    table, state = follow([(counted, counted)] * 60, JudgeRules(latency_p95_max_ms=150.0))
    verdict = judge(table, state, [Freshness()])[0]
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert verdict.summary.endswith("; no latencies are told, so nothing proves a p95 of 150 ms")
