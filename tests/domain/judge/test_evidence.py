"""Folding: what makes evidence, what must not, and what is the same in a batch and alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releases.domain.judge import (
    STATE_SIZE,
    Increments,
    JudgeRules,
    RuleBatch,
    Sample,
    SampleBatch,
    StateLayoutError,
    fold,
    initial_state,
    state_from_bytes,
    state_to_bytes,
    weigh,
)
from releases.domain.judge import state as slots
from tests.domain.judge.streams import batch, judged

many = st.one_of(st.integers(0, 60), st.integers(0, 10**9))
arm = many.flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
increments = st.builds(
    lambda counts, continuous: Increments(1.0, *counts, continuous=continuous), arm, st.booleans()
)
samples = st.builds(
    Sample,
    seconds=st.floats(0, 1e5),
    stable=st.none() | increments,
    candidate=st.none() | increments,
)
rules = st.builds(
    JudgeRules,
    error_rate_max=st.none() | st.floats(1e-5, 0.9),
    compare_errors=st.booleans(),
    margin_errors=st.sampled_from([1.0, 1.25, 3.0]),
    warm_up_seconds=st.sampled_from([0.0, 5.0]),
    has_stable=st.booleans(),
)
releases = st.lists(st.tuples(rules, st.lists(samples, min_size=4, max_size=4)), min_size=1, max_size=6)


def folded(pairs):
    table = RuleBatch.of([rule for rule, _ in pairs])
    state = initial_state(len(pairs))
    for step in zip(*(steps for _, steps in pairs), strict=True):
        state = fold(table, state, SampleBatch.of(step))
    return table, state


def numbers(table, state):
    evidence = weigh(table, state)
    return np.column_stack([evidence.harm, evidence.limit, evidence.stable_limit, evidence.certificate])


@settings(max_examples=60)
@given(releases)
def test_fold_of_a_batch_is_deterministic_finite_and_the_same_one_by_one(pairs):
    table, state = folded(pairs)
    assert np.isfinite(state).all()
    assert np.isfinite(numbers(table, state)).all()
    assert np.array_equal(state, folded(pairs)[1])
    for row, pair in enumerate(pairs):
        alone_table, alone = folded([pair])
        assert np.allclose(state[row], alone[0], rtol=1e-12, atol=1e-12)
        assert np.allclose(numbers(table, state)[row], numbers(alone_table, alone)[0], rtol=1e-11, atol=1e-11)


def test_fold_leaves_the_state_it_was_given_as_it_was():
    table, state = RuleBatch.of([JudgeRules()]), initial_state(1)
    before = state.copy()
    fold(table, state, batch((45, 0), (5, 3)))
    assert np.array_equal(state, before)


def test_evidence_before_the_first_sample_is_one():
    table, state = judged([])
    assert np.allclose(numbers(table, state), 0)


def test_evidence_of_empty_time_stays_one_however_it_is_cut():
    whole = judged([batch((0, 0), (0, 0), seconds=900), batch((45, 1), (5, 2))])
    cut = judged([batch((0, 0), (0, 0), seconds=90)] * 10 + [batch((45, 1), (5, 2))])
    assert np.allclose(numbers(*judged([batch((0, 0), (0, 0), seconds=900)])), 0)
    assert np.allclose(numbers(*whole), numbers(*cut))


def test_evidence_after_a_missed_reading_compares_the_same_time_of_both_arms():
    """The incident hits both arms while the candidate cannot be read."""
    missed = judged(
        [
            batch((45, 45), (0, 0), present=(True, False)),
            batch((45, 0), (10, 5)),
        ]
    )
    together = judged([batch((90, 45), (10, 5), seconds=2)])
    assert np.isclose(weigh(*missed).harm[0], weigh(*together).harm[0], atol=0.01)
    assert weigh(*missed).harm[0] < 0


@pytest.mark.parametrize("present", [(True, False), (False, True), (False, False)])
def test_evidence_of_a_sample_with_a_missing_arm_stays_one(present):
    table, state = judged([batch((45, 0), (5, 5), present=present)] * 5)
    assert weigh(table, state).harm[0] == pytest.approx(0)


def test_evidence_when_a_counter_began_anew_leaves_out_what_cannot_be_compared():
    """Stable waits for the candidate, whose process then turns out to have restarted."""
    stream = [
        batch((45, 0), (0, 0), present=(True, False)),
        batch((45, 0), (0, 0), present=(True, False), comparable=False),
        batch((45, 0), (5, 5)),
    ]
    table, state = judged(stream)
    assert weigh(table, state).harm[0] == pytest.approx(0)
    assert state[0, slots.CANDIDATE_ERRORS] == 5
    after = fold(table, state, batch((45, 0), (5, 5)))
    assert weigh(table, after).harm[0] > 2


def test_evidence_of_a_baseline_reading_does_not_mix_times():
    baseline = Increments(0.0, 0, 0, continuous=False)
    table = RuleBatch.of([JudgeRules()])
    state = fold(
        table,
        initial_state(1),
        SampleBatch.of([Sample(1.0, Increments(1.0, 45, 0), baseline)]),
    )
    assert weigh(table, state).harm[0] == pytest.approx(0)
    assert state[0, slots.PENDING].tolist() == [0, 0, 0, 0]


def test_evidence_of_a_single_sample_never_decides():
    """A process that stalls for a second fails, or delays, everything at once."""
    stream = [batch((450, 0), (50, 0))] * 30
    one, two = (weigh(*judged([*stream, *[batch((450, 0), (50, 50))] * bad])).harm[0] for bad in (1, 2))
    assert one < np.log(100) < two


def test_evidence_with_a_changed_split_goes_on():
    table, state = judged([batch((45, 0), (5, 1))] * 3)
    before = weigh(table, state).harm[0]
    after = weigh(table, fold(table, state, batch((25, 0), (25, 1)))).harm[0]
    assert after > before > 1


def test_evidence_during_the_warm_up_is_not_gathered():
    rules = JudgeRules(warm_up_seconds=10)
    table, state = judged([batch((45, 0), (5, 5))] * 10, rules)
    assert np.allclose(numbers(table, state), 0)
    assert state[0, slots.CANDIDATE_REQUESTS] == 0
    table, state = judged([batch((45, 0), (5, 5))] * 11, rules)
    assert state[0, slots.CANDIDATE_ERRORS] == 5
    assert weigh(table, state).harm[0] > 2


def test_evidence_with_a_margin_is_smaller():
    stream = [batch((450, 10), (50, 3))] * 5
    harm = [weigh(*judged(stream, JudgeRules(margin_errors=margin))).harm[0] for margin in (1, 1.5, 3)]
    assert harm[0] > harm[1] > harm[2]


def test_evidence_of_rules_that_are_off_is_one():
    stream = [batch((45, 0), (5, 5))] * 5
    off = JudgeRules(error_rate_max=None, compare_errors=False)
    assert np.allclose(numbers(*judged(stream, off)), 0)


def test_state_survives_storage():
    _, state = judged([batch((45, 1), (5, 1))] * 3)
    stored = state_to_bytes(state[0])
    assert len(stored) == 8 * STATE_SIZE
    assert np.array_equal(state_from_bytes(stored), state[0])


def test_state_of_another_layout_is_refused():
    other = initial_state(1)[0]
    other[slots.LAYOUT_SLOT] = 99
    for stored in (state_to_bytes(other), b"", state_to_bytes(other[:-1])):
        with pytest.raises(StateLayoutError):
            state_from_bytes(stored)


def test_fold_of_different_lengths_raises():
    with pytest.raises(ValueError, match="1 rules, 2 states"):
        fold(RuleBatch.of([JudgeRules()]), initial_state(2), batch((1, 0), (1, 0)))


@pytest.mark.parametrize(("requests", "errors"), [(1, 2), (5, -1), (np.nan, 0)])
def test_sample_with_impossible_counts_raises(requests, errors):
    with pytest.raises(ValueError, match="errors must lie"):
        batch((45, 0), (requests, errors))
