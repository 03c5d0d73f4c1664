"""Cumulative counters become increments: first readings, restarts, changed bounds."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.judge import BESIDE, Increments, Totals, advance, increment, without_fastest

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


# ---- answers from the cache ------------------------------------------------------------------------
def with_hits(at, hits, ok=0, errors=0, latency_ms=(0, 0, 0), **more):
    """A reading at which so many answers came from the cache since the beginning; None: nobody told."""
    beside = () if hits is None else (hits, *[0] * (len(BESIDE) - 1))
    return replace(totals(at, ok, 0, errors, latency_ms), beside=beside, **more)


def followed(taken):
    """The increments of readings that follow each other, and what is remembered at the end."""
    remembered, got = taken[0], []
    for reading in taken[1:]:
        step, remembered = advance(remembered, reading)
        got.append(step)
    return got, remembered


def test_answers_from_the_cache_are_taken_out_of_requests_and_of_the_fastest_buckets():
    before = with_hits(1.0, 5, ok=10, latency_ms=(6, 4, 0))
    after = with_hits(2.0, 25, ok=40, errors=3, latency_ms=(20, 16, 7))
    got, remembered = advance(before, after)
    assert (got.requests, got.errors) == (13, 3)
    assert got.latency_ms == (0, 6, 7)  # all 14 of the first bucket, and 6 of the second
    assert got.beside[0] == 20
    assert (remembered.owed, remembered.owed_latencies) == (0, 0)


def test_hits_that_the_gateway_has_not_counted_yet_are_owed_until_it_has():
    got, remembered = followed(
        [
            with_hits(1.0, 0),
            with_hits(2.0, 7, ok=5, latency_ms=(2, 0, 0)),
            with_hits(3.0, 7, ok=9, latency_ms=(9, 0, 0)),
        ]
    )
    assert [one.requests for one in got] == [0, 2]
    assert [one.latency_ms for one in got] == [(0, 0, 0), (2, 0, 0)]
    assert (remembered.owed, remembered.owed_latencies) == (0, 0)


def test_model_server_that_is_silent_keeps_its_last_word_and_catches_up():
    got, _ = followed([with_hits(1.0, 10, ok=10), with_hits(2.0, None, ok=20), with_hits(3.0, 28, ok=40)])
    assert [one.requests for one in got] == [10, 2]
    assert got[0].beside == ()
    assert got[1].beside[0] == 18


def test_model_server_that_began_anew_counts_from_zero_and_a_gateway_owes_nothing():
    got, remembered = followed([with_hits(1.0, 50, ok=60), with_hits(2.0, 3, ok=70)])
    assert got[0].requests == 7
    got, remembered = followed([with_hits(1.0, 50, ok=60, owed=9), with_hits(2.0, 58, ok=5)])
    assert (got[0].requests, got[0].continuous, remembered.owed) == (0, False, 0)


def test_hits_that_no_server_can_have_counted_take_nothing_out():
    got, remembered = advance(with_hits(1.0, 0, ok=0), with_hits(2.0, 10**15, ok=5))
    assert (got.requests, got.beside, remembered.owed) == (5, (), 0)


answers = st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=12)


@given(answers, st.lists(st.integers(0, 2), max_size=12), st.lists(st.booleans(), max_size=12))
def test_hits_are_taken_out_once_whatever_the_skew_and_the_silence(run, lags, silences):
    """Each second the model answers, the cache answers, and some fail. The gateway's counts lag behind the
    model server's by some seconds and its histogram by one more, and the model server is silent now and then;
    at the end all are up to date."""
    seconds = len(run) + 3
    run = [*run, *[(0, 0, 0)] * 3]
    lags, silences = [*lags, *[0] * seconds], [*silences, *[False] * seconds]
    done = [tuple(map(sum, zip(*run[:n], strict=True))) if n else (0, 0, 0) for n in range(seconds + 1)]
    seen, timed, taken = 0, 0, [with_hits(0.0, 0)]
    for second in range(1, seconds + 1):
        is_last = second == seconds
        timed = second if is_last else seen
        seen = second if is_last else max(seen, second - lags[second - 1])
        silent = silences[second - 1] and not is_last
        model, hits, errors = done[seen]
        taken.append(
            with_hits(
                float(second),
                None if silent else done[second][1],
                ok=model + hits,
                errors=errors,
                latency_ms=(done[timed][1], done[timed][0] + done[timed][2], 0),
            )
        )
    got, remembered = followed(taken)
    model, hits, errors = done[-1]
    assert all(one.requests >= one.errors >= 0 and min(one.latency_ms) >= 0 for one in got)
    assert sum(one.requests for one in got) - remembered.owed == model + errors
    assert sum(sum(one.latency_ms) for one in got) - remembered.owed - remembered.owed_latencies == (
        model + errors
    )
    assert sum(one.beside[0] for one in got if one.beside) == hits
    if not any(silences[: len(run)]):
        assert remembered.owed == 0


@given(st.lists(st.tuples(amounts, st.integers(0, 20_000) | st.none(), amounts), min_size=2, max_size=12))
def test_no_reading_whatever_makes_a_figure_negative(run):
    """Hits and answers of a process that contradicts itself, and begins anew now and then."""
    taken = [
        with_hits(float(at), hits, ok=ok, latency_ms=(fast, ok, 0)) for at, (ok, hits, fast) in enumerate(run)
    ]
    got, remembered = followed(taken)
    assert all(one.requests >= 0 and min(one.latency_ms or (0,)) >= 0 for one in got)
    assert min(remembered.owed, remembered.owed_latencies) >= 0


@given(st.lists(amounts, max_size=6), amounts)
def test_without_fastest_takes_so_many_and_from_the_front(latency, hits):
    left = without_fastest(latency, hits)
    assert sum(left) == max(0, sum(latency) - hits)
    first = next((i for i, (was, now) in enumerate(zip(latency, left, strict=True)) if now), len(left))
    assert left[first + 1 :] == tuple(latency[first + 1 :])
