"""What must make no difference to the evidence, with errors, latencies and predictions in every sample."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releases.domain.judge import (
    Increments,
    JudgeRules,
    RuleBatch,
    Sample,
    SampleBatch,
    fold,
    initial_state,
    tell_baseline,
    weigh,
)

BOUNDS = (5.0, 10.0, 20.0, 50.0)
RULES = JudgeRules(latency_p95_max_ms=20.0)
EMPTY = Increments(1.0, 0, 0, (0,) * 5, BOUNDS, predictions=(0,) * 4)


def increments(latency, predictions, failing):
    requests = sum(latency)
    return Increments(1.0, requests, min(failing, requests), latency, BOUNDS, predictions=predictions)


few = st.integers(0, 40)
arms = st.builds(increments, st.tuples(*[few] * 5), st.tuples(*[few] * 4), st.integers(0, 20))
complete = st.builds(Sample, seconds=st.floats(0.1, 30), stable=arms, candidate=arms)
broken = st.one_of(
    st.builds(Sample, seconds=st.floats(0.1, 30), stable=st.none(), candidate=st.none() | arms),
    st.builds(Sample, seconds=st.floats(0.1, 30), stable=arms, candidate=st.none()),
    st.builds(
        lambda sample, stable, candidate: replace(
            sample,
            stable=replace(sample.stable, continuous=stable),
            candidate=replace(sample.candidate, continuous=candidate and not stable),
        ),
        complete,
        st.booleans(),
        st.booleans(),
    ),
)
streams = st.lists(complete, min_size=1, max_size=8)
rules = st.builds(
    JudgeRules,
    error_rate_max=st.sampled_from([None, 0.01]),
    latency_p95_max_ms=st.sampled_from([None, 10.0, 90.0]),
    compare_errors=st.booleans(),
    compare_latency=st.booleans(),
    compare_predictions=st.booleans(),
    margin_errors=st.sampled_from([1.0, 1.25]),
    margin_latency=st.sampled_from([1.0, 1.5]),
    warm_up_seconds=st.sampled_from([0.0, 5.0]),
)


def follow(samples, state=None, rule=RULES):
    state = initial_state(1) if state is None else state
    for sample in samples:
        state = fold(RuleBatch.of([rule]), state, SampleBatch.of([sample]))
    return state


def comparisons(state, rule=RULES):
    """All that is evidence between the arms."""
    got = weigh(RuleBatch.of([rule]), state)
    return np.concatenate([got.harm, got.parts[0], got.latency, got.differs])


def everything(state):
    got = weigh(RuleBatch.of([RULES]), state)
    limits = [got.limit, got.stable_limit, got.certificate]
    slow = [got.slow_limit, got.stable_slow_limit, got.slow_certificate]
    return np.concatenate([comparisons(state), *limits, *slow])


def same(one, other):
    return np.allclose(one, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=25)
@given(streams, st.lists(st.floats(0.01, 300), min_size=1, max_size=6), streams)
def test_empty_samples_may_be_split_and_merged(before, pieces, after):
    start = follow(before)
    cut = follow([Sample(seconds, EMPTY, EMPTY) for seconds in pieces], start)
    whole = follow([Sample(sum(pieces), EMPTY, EMPTY)], start)
    silent = follow([Sample(sum(pieces), Increments(1.0, 0, 0), Increments(1.0, 0, 0))], start)
    assert same(everything(cut), everything(start))
    assert same(everything(cut), everything(whole))
    assert same(everything(follow(after, cut)), everything(follow(after, whole)))
    assert same(everything(follow(after, silent)), everything(follow(after, whole)))


@settings(max_examples=25)
@given(st.lists(complete, min_size=2, max_size=8))
def test_swapped_arms_mirror_what_is_said_of_predictions(samples):
    known = increments((130, 0, 0, 0, 0), (30, 50, 40, 10), 0)
    start = tell_baseline(initial_state(1), SampleBatch.of([Sample(60.0, known, None)]))
    swapped = [Sample(one.seconds, one.candidate, one.stable) for one in samples]
    one, other = (weigh(RuleBatch.of([RULES]), follow(run, start)) for run in (samples, swapped))
    assert np.isfinite(one.edges[0, :3]).all()
    assert np.allclose(one.edges[0, :3], other.edges[0, :3], rtol=1e-9, atol=1e-9)
    assert same(one.differs, other.differs)
    assert same(one.parts[:, 3], other.parts[:, 3])


@settings(max_examples=50)
@given(streams, st.lists(broken, min_size=1, max_size=5), complete)
def test_lost_readings_and_restarted_counters_create_no_evidence(before, lost, after):
    start = follow(before)
    gone = follow(lost, start)
    assert same(comparisons(gone), comparisons(start))
    # Nor, of latencies and predictions, does the first complete sample after a reading of one arm alone.
    read = [sample for sample in lost if sample.stable or sample.candidate]
    if read and not (read[-1].stable and read[-1].candidate):
        assert same(comparisons(follow([after], gone))[2:], comparisons(start)[2:])


def slow_incident(requests, slow):
    latency = (requests - slow, 0, 0, 0, slow)
    return Increments(1.0, requests, 0, latency, BOUNDS, predictions=(requests - slow, 0, 0, slow))


@pytest.mark.parametrize("unread", [0, 1, 3])
def test_incident_of_both_arms_is_not_blamed_on_the_one_that_was_unread(unread):
    """The candidate cannot be read while both are slow; for a while after neither can be."""
    calm = Sample(1.0, slow_incident(90, 9), slow_incident(10, 1))
    cycle = [
        *[calm] * 5,
        Sample(1.0, slow_incident(90, 80), None),
        *[Sample(1.0, None, None)] * unread,
        Sample(1.0 + unread, slow_incident(90, 9), slow_incident(20, 10)),
    ]
    state = follow(cycle * 10)
    assert comparisons(state)[0] < np.log(3)


@settings(max_examples=40)
@given(st.data(), st.lists(rules, min_size=2, max_size=6))
def test_order_of_the_releases_in_a_batch_is_irrelevant(data, table):
    size = len(table)
    order = np.array(data.draw(st.permutations(range(size))))
    row = st.lists(st.one_of(complete, broken), min_size=size, max_size=size)
    state, turned = initial_state(size), initial_state(size)
    for samples in data.draw(st.lists(row, min_size=3, max_size=5)):
        state = fold(RuleBatch.of(table), state, SampleBatch.of(samples))
        turned = fold(
            RuleBatch.of([table[i] for i in order]), turned, SampleBatch.of([samples[i] for i in order])
        )
    assert np.array_equal(state[order], turned)
    one = weigh(RuleBatch.of(table), state)
    other = weigh(RuleBatch.of([table[i] for i in order]), turned)
    assert np.array_equal(one.harm[order], other.harm)


def test_batch_of_one_equals_its_row_of_a_thousand_bit_for_bit():
    rng = np.random.default_rng(11)
    table = [replace(RULES, margin_errors=margin) for margin in rng.choice([1.0, 1.25, 2.0], 1_000)]
    state = initial_state(1_000)
    chosen = [0, 1, 7, 498, 993, 999]
    alone = {row: initial_state(1) for row in chosen}
    for _ in range(12):
        samples = [Sample(1.0, *(_random_arm(rng, size) for size in (90, 10))) for _ in range(1_000)]
        state = fold(RuleBatch.of(table), state, SampleBatch.of(samples))
        for row in chosen:
            alone[row] = fold(RuleBatch.of([table[row]]), alone[row], SampleBatch.of([samples[row]]))
    evidence = weigh(RuleBatch.of(table), state)
    for row in chosen:
        assert np.array_equal(state[row], alone[row][0])
        assert evidence.harm[row] == weigh(RuleBatch.of([table[row]]), alone[row]).harm[0]


def _random_arm(rng, size):
    requests = int(rng.poisson(size))
    latency = tuple(int(x) for x in rng.multinomial(requests, [0.1, 0.4, 0.3, 0.15, 0.05]))
    predictions = tuple(int(x) for x in rng.multinomial(requests, [0.4, 0.3, 0.2, 0.1]))
    return increments(latency, predictions, int(rng.binomial(requests, 0.02)))
