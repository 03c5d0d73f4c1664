"""Prediction drift: what is flagged, what rolls back, and what a new model may do differently."""

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

SHARES = np.array([0.3, 0.4, 0.2, 0.1])


def arm(predictions):
    return Increments(1.0, sum(predictions), 0, predictions=tuple(predictions))


def told(predictions):
    return tell_baseline(initial_state(1), SampleBatch.of([Sample(60.0, arm(predictions), None)]))


def follow(shares, seconds=120, rules=None, seed=3):
    """45 predictions of stable and 5 of a candidate that predicts so often each bin, every second."""
    rng, table, state = np.random.default_rng(seed), RuleBatch.of([rules or JudgeRules()]), initial_state(1)
    for _ in range(seconds):
        drawn = [rng.multinomial(count, law) for count, law in ((45, SHARES), (5, shares))]
        pair = [arm([int(x) for x in counts]) for counts in drawn]
        state = fold(table, state, SampleBatch.of([Sample(1.0, *pair)]))
    return table, state


def at_odds(ratio):
    """Shares with this odds ratio above each edge."""
    above = 1 - np.cumsum(SHARES)[:-1]
    moved = ratio * above / (1 - above + ratio * above)
    return -np.diff(np.concatenate([[1.0], moved, [0.0]]))


@pytest.mark.parametrize("ratio", [6.0, 1 / 6])
def test_other_predictions_are_harm_either_way(ratio):
    table, state = follow(at_odds(ratio))
    verdict = judge(table, state, [Freshness()])[0]
    assert verdict.kind is VerdictKind.HARM
    assert verdict.driven_by == ("predictions_vs_stable",)
    assert "other answers than stable's" in verdict.summary


def test_same_predictions_are_neither_flagged_nor_harm():
    evidence = weigh(*follow(SHARES))
    assert evidence.differs[0] < np.log(20)
    assert evidence.harm[0] < np.log(10)


@pytest.mark.parametrize("ratio", [1.45, 1 / 1.45])
def test_predictions_within_the_margin_are_flagged_and_do_not_roll_back(ratio):
    table, state = follow(at_odds(ratio), seconds=900)
    evidence = weigh(table, state)
    assert evidence.differs[0] > np.log(100)
    assert evidence.harm[0] < np.log(10)
    assert judge(table, state, [Freshness()])[0].kind is not VerdictKind.HARM


def test_predictions_that_are_not_compared_are_no_evidence():
    evidence = weigh(*follow(at_odds(6.0), rules=JudgeRules(compare_predictions=False)))
    assert (evidence.harm[0], evidence.differs[0]) == (pytest.approx(0, abs=0.1), 0)


def test_edges_are_those_that_stable_predicts_on_both_sides_of():
    assert told((50, 0, 40, 30, 0))[0, slots.CUTS].tolist() == [0, 2, -1, -1, -1, -1]


def test_edges_are_at_most_six_of_many_bins():
    cuts = told((20,) * 20)[0, slots.CUTS]
    assert (cuts >= 0).all()
    assert cuts[0] == 0
    assert cuts[-1] >= 14


def test_edges_of_a_stable_that_predicts_one_thing_only_are_around_it_and_find_what_is_new():
    """As of a model that looks for fraud: rare positives are what matters."""
    table, state = RuleBatch.of([JudgeRules()]), initial_state(1)
    for _ in range(20):
        state = fold(table, state, SampleBatch.of([Sample(1.0, arm((0, 45, 0)), arm((0, 5, 0)))]))
    assert state[0, slots.CUTS].tolist() == [0, 1, -1, -1, -1, -1]
    assert weigh(table, state).parts[0, 3] == pytest.approx(0)
    for _ in range(20):
        state = fold(table, state, SampleBatch.of([Sample(1.0, arm((0, 45, 0)), arm((0, 3, 2)))]))
    assert weigh(table, state).harm[0] > np.log(100)


def test_edges_are_not_chosen_from_few_predictions():
    assert told((30, 30, 30))[0, slots.CUTS_CHOSEN] == 0
    assert told((40, 30, 30))[0, slots.CUTS_CHOSEN] == 1
