"""Counts of pods become those of a deployment: outcomes, buckets, and what was added up."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.adapters.metrics.seldon_pods import MOST_BOUNDS, PodCounts, outcome, summed


def pod(*codes: str, began: float = 1.0, latencies: tuple[float, ...] = (), bounds=(0.01, 0.1)) -> PodCounts:
    made = PodCounts(began)
    for code in codes:
        made.count(code, 1)
    for bound in (*bounds, inf) if latencies else ():
        made.time(str(bound), sum(latency <= bound for latency in latencies))
    return made


@pytest.mark.parametrize(
    ("codes", "field"),
    [
        (("100", "200", "204", "302", "OK"), "ok"),
        (("400", "404", "422", "429", "499", "InvalidArgument", "NotFound", "Canceled"), "client_errors"),
        (
            ("500", "503", "599", "0", "Internal", "Unavailable", "DeadlineExceeded", "Unknown", "", "new"),
            "errors",
        ),
    ],
)
def test_outcome_of_a_status_or_a_word_of_grpc(codes: tuple[str, ...], field: str) -> None:
    assert {outcome(code) for code in codes} == {field}


seconds = st.floats(0.0001, 50)


@given(st.lists(st.lists(seconds, min_size=1, max_size=20), min_size=1, max_size=5))
def test_latencies_of_pods_are_each_in_one_bucket(pods: list[list[float]]) -> None:
    seen = summed(1.0, {str(n): pod(latencies=tuple(own)) for n, own in enumerate(pods)})
    every = [latency * 1000 for own in pods for latency in own]
    assert seen.bounds_ms == (10.0, 100.0)
    assert seen.latency_ms == (
        sum(one <= 10 for one in every),
        sum(10 < one <= 100 for one in every),
        sum(one > 100 for one in every),
    )


def test_latencies_in_buckets_that_do_not_fit_are_left_out_and_the_requests_kept() -> None:
    wide = pod("200", latencies=(0.05,), bounds=(0.5,))
    seen = summed(1.0, {"a": pod("200", latencies=(0.05,)), "b": wide})
    assert (seen.ok, seen.bounds_ms, seen.latency_ms) == (2, (), ())


def test_latencies_are_told_with_so_many_bounds_and_no_more() -> None:
    for number, told in ((MOST_BOUNDS, MOST_BOUNDS), (MOST_BOUNDS + 1, 0)):
        bounds = tuple((one + 1) / 100 for one in range(number))
        assert len(summed(1.0, {"a": pod(latencies=(0.05,), bounds=bounds)}).bounds_ms) == told


def test_latencies_of_a_pod_without_requests_do_not_spoil_those_of_the_others() -> None:
    assert summed(1.0, {"a": pod(latencies=(0.05,)), "b": pod()}).latency_ms == (0, 1, 0)


def test_series_are_the_same_for_the_same_pods_and_no_others() -> None:
    two = {"a": pod("200"), "b": pod()}
    same = summed(9.0, {"b": pod("500"), "a": pod("200")}).series
    assert summed(1.0, two).series == same
    others = [{"a": pod()}, {**two, "c": pod()}, {**two, "b": pod(began=2.0)}, {"a": pod(), "c": pod()}]
    assert len({same, *(summed(1.0, one).series for one in others)}) == 5
