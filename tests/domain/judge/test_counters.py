"""Cumulative counters become increments: first readings, restarts, changed bounds."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.judge import Increments, Totals, increment

BOUNDS = (5.0, 10.0)
amounts = st.integers(0, 10_000)
steps = st.tuples(amounts, amounts, amounts, st.tuples(amounts, amounts, amounts))


def totals(at, ok=0, client_errors=0, errors=0, latency_ms=(0, 0, 0), bounds_ms=BOUNDS, series=""):
    return Totals(at, ok, client_errors, errors, latency_ms, bounds_ms, series=series)


def readings(increments):
    """The cumulative readings, a second apart, of a process that did this."""
    sums = itertools.accumulate(
        increments,
        lambda a, b: (
            a[0] + b[0],
            a[1] + b[1],
            a[2] + b[2],
            tuple(map(sum, zip(a[3], b[3], strict=True))),
        ),
    )
    return [totals(float(at), *values) for at, values in enumerate(sums)]


def test_increment_of_a_first_reading_is_an_empty_baseline():
    first = increment(None, totals(100.0, ok=5000, errors=70))
    assert first == Increments(seconds=0.0, requests=0, errors=0, continuous=False)


def test_increment_counts_client_errors_as_requests_but_not_as_errors():
    got = increment(totals(1.0, 10, 1, 2), totals(3.0, 20, 5, 3))
    assert (got.seconds, got.requests, got.errors, got.continuous) == (2.0, 15, 1, True)


@pytest.mark.parametrize("at", [7.0, 6.5])
def test_increment_of_a_reading_that_is_not_newer_is_none(at):
    assert increment(totals(7.0, ok=5), totals(at, ok=9)) is None


def test_increment_after_a_restart_is_what_happened_since():
    got = increment(totals(1.0, 900, 10, 50, (500, 400, 60)), totals(2.0, 4, 0, 1, (3, 1, 1)))
    assert (got.requests, got.errors, got.latency_ms) == (5, 1, (3, 1, 1))
    assert not got.continuous


def test_increment_with_changed_bounds_drops_the_histogram_and_keeps_the_counts():
    got = increment(
        totals(1.0, 10, latency_ms=(5, 5, 0)),
        totals(2.0, 15, latency_ms=(9, 6), bounds_ms=(7.0,)),
    )
    assert (got.requests, got.latency_ms, got.bounds_ms) == (5, None, ())
    assert got.continuous


POD = st.tuples(amounts, amounts, amounts)


def added_up(at, pods):
    """The sums over pods, with their names."""
    return totals(at, *(sum(values) for values in zip(*pods.values(), strict=True)), series=",".join(pods))


@given(st.dictionaries(st.sampled_from("abc"), POD, min_size=1), st.sampled_from("xyz"), POD, st.data())
def test_increment_is_not_told_when_a_pod_came_went_or_began_anew(pods, other, counts, data):
    changed = {other: counts, **pods}
    if data.draw(st.booleans()):
        del changed[data.draw(st.sampled_from(sorted(pods)))]
    for before, after in ((pods, changed), (changed, pods)):
        assert increment(added_up(1.0, before), added_up(2.0, after)) is None


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(POD, POD), min_size=1))
def test_increment_of_the_same_pods_is_the_sum_of_theirs(pods):
    before = {name: first for name, (first, _) in pods.items()}
    after = {name: tuple(map(sum, zip(*both, strict=True))) for name, both in pods.items()}
    got = increment(added_up(1.0, before), added_up(2.0, after))
    assert got.requests == sum(sum(grown) for _, grown in pods.values())
    assert got.errors == sum(grown[2] for _, grown in pods.values())


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((5, 5), (6, 8), (1, 3)),
        ((5, 5), (6, 4), None),  # the model server began anew
        ((), (6, 4), None),  # it was silent before
        ((5, 5), (6, 4, 1), None),
        ((5, 5), (5, 10**15), None),  # foreign code may say anything
    ],
)
def test_increment_of_predictions_is_told_only_where_it_can_be_true(before, after, told):
    got = increment(replace(totals(1.0, 10), predictions=before), replace(totals(2.0, 14), predictions=after))
    assert (got.requests, got.predictions) == (4, told)
    assert got.continuous


@given(st.lists(steps, min_size=2, max_size=12))
def test_increments_of_any_run_add_up_to_its_totals(run):
    taken = readings(run)
    got = [increment(a, b) for a, b in itertools.pairwise(taken)]
    assert all(one.continuous for one in got)
    first, last = taken[0], taken[-1]
    requests = [t.ok + t.client_errors + t.errors for t in (first, last)]
    assert sum(one.requests for one in got) == requests[1] - requests[0]
    assert sum(one.errors for one in got) == last.errors - first.errors
    for bucket in range(3):
        grown = last.latency_ms[bucket] - first.latency_ms[bucket]
        assert sum(one.latency_ms[bucket] for one in got) == grown


@given(steps, steps)
def test_increments_are_never_negative_nor_more_than_happened(before, after):
    got = increment(totals(0.0, *before), totals(1.0, *after))
    assert 0 <= got.errors <= got.requests <= sum(after[:3])
    assert min(got.latency_ms) >= 0
