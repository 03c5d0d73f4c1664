"""Numbers as people read them."""

import math

import pytest

from releases.domain.judge import explanation as say
from releases.domain.verdict import ArmCounts


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0031, "0.31 %"),
        (0.00004, "0.004 %"),
        (0.000001, "<0.001 %"),
        (0.0507, "5.1 %"),
        (0.0999, "10.0 %"),
        (0.203, "20 %"),
        (0.999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_percent_keeps_two_digits_that_count(share, text):
    assert say.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (9, "9 s"), (93, "95 s"), (150, "3 min"), (12600, "3.5 h"), (864000, "10 days")],
)
def test_duration_is_rounded_as_coarsely_as_a_forecast_deserves(seconds, text):
    assert say.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(14.9, "14"), (2317, "2,300"), (28_944, "28,000"), (3e9, "more than a million")]
)
def test_whole_is_rounded_down_so_that_it_promises_no_more(number, text):
    assert say.whole(number) == text


def test_arm_names_counts_rate_and_interval():
    assert say.arm("candidate", ArmCounts(612, 31), (0.029, 0.084)) == (
        "candidate: 31 errors in 612 requests, 5.1 % (2.9 to 8.4 %)"
    )
    assert say.arm("stable", ArmCounts(1, 1), None) == "stable: 1 error in 1 request, 100 %"


def test_chance_says_what_the_evidence_means_and_what_it_takes():
    assert say.chance(say.alike_in_errors(1.0), math.log(2317), 100) == (
        "two versions that fail alike would reach this evidence at most once in 2,300 releases "
        "(limit: once in 100)"
    )


def test_part_names_what_is_counted():
    slow = say.part("candidate", ArmCounts(612, 66), (0.085, 0.14), "slower than 50 ms")
    assert slow == "candidate: 66 of 612 slower than 50 ms, 11 % (8.5 to 14 %)"
    assert say.part("stable", ArmCounts(0, 0), None, "slower than 50 ms") == "stable: nothing yet"


@pytest.mark.parametrize(("bound", "text"), [(2.5, "2.5 ms"), (999.0, "999 ms"), (1500.0, "1.5 s")])
def test_milliseconds_are_short(bound, text):
    assert say.milliseconds(bound) == text
