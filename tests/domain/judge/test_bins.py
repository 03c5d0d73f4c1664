"""Bins of predictions: fixed once, every prediction in exactly one, readable by people."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.judge.bins import MOST_LABELS, MOST_RANGES, PredictionBins, choose

BUCKETS = [f"number:{sign * 2 ** (step / 8):.4g}" for sign in (-1, 1) for step in range(-40, 41)]
LABELS = [f"label:{value}" for value in ("other", "nan", "inf", "true", "class_2", "argmax:3", "a:b", "")]
CLASSES = [f"label:{number}" for number in range(-5, 30)]
keys = st.sampled_from(BUCKETS + LABELS + CLASSES) | st.text(max_size=8)
counts = st.dictionaries(keys, st.integers(0, 500), max_size=40)
enough = counts.filter(lambda known: sum(known.values()) >= 100 and set(known) - {"label:other"})


@given(enough, counts)
def test_count_puts_every_prediction_into_exactly_one_bin(past, now):
    bins = choose(past)
    if bins is None:  # nothing but "other"
        return
    found = bins.count(now)
    assert len(found) == len(bins) == len(bins.names)
    assert sum(found) == sum(now.values())
    alone = [bins.count({key: number}) for key, number in now.items()]
    assert all(sum(part > 0 for part in parts) <= 1 for parts in alone)
    assert [sum(column) for column in zip(*alone, strict=True)] == list(found) or not now


@given(enough, counts, counts)
def test_count_of_a_growing_counter_never_goes_down(past, before, more):
    bins = choose(past)
    if bins is None:
        return
    later = {key: before.get(key, 0) + more.get(key, 0) for key in before | more}
    pairs = zip(bins.count(before), bins.count(later), strict=True)
    assert all(now >= then for then, now in pairs)


@given(enough)
def test_bins_survive_json_and_do_not_depend_on_the_order_of_the_counts(past):
    bins = choose(past)
    if bins is None:
        return
    assert PredictionBins.from_json(json.loads(json.dumps(bins.to_json()))) == bins
    assert choose(dict(reversed(past.items()))) == bins
    assert len(bins) <= max(MOST_LABELS + 1, MOST_RANGES + 3)


@pytest.mark.parametrize("known", [{}, {"label:a": 60, "label:b": 39}, {"label:other": 5_000}])
def test_choose_with_too_little_known_is_none(known):
    assert choose(known) is None


def test_choose_of_classes_gives_each_a_bin_the_frequent_first():
    bins = choose({"label:0": 70, "label:other": 0, "label:2": 90, "label:1": 40})
    assert bins is not None
    assert bins.names == ("2", "0", "1", "other")
    assert bins.count({"label:1": 3, "label:7": 5, "number:0.5": 2, "label:other": 1}) == (0, 0, 3, 8)


def test_choose_of_many_classes_keeps_the_twelve_most_frequent():
    bins = choose({f"label:class_{number}": 100 - number for number in range(30)})
    assert bins is not None
    assert bins.labels == tuple(f"class_{number}" for number in range(12))


def test_choose_where_a_server_may_have_seen_too_many_labels_keeps_only_common_ones():
    rare = {f"label:word_{number}": 1 + number % 3 for number in range(150)}
    bins = choose({**rare, "label:common": 100, "label:other": 200})
    assert bins is not None
    assert bins.labels == ("common",)


def test_choose_of_numbers_gives_ranges_of_about_equal_mass():
    generator = random.Random(7)
    known: dict[str, int] = {}
    for _ in range(20_000):
        position = math.ceil(math.log2(generator.lognormvariate(0, 1)) * 8)
        key = f"number:{2 ** (position / 8):.4g}"
        known[key] = known.get(key, 0) + 1
    bins = choose(known)
    assert bins is not None
    *ranges, other = bins.count(known)
    assert len(ranges) == 8
    assert other == 0
    assert max(ranges) <= 1.5 * 20_000 / 8
    assert min(ranges) >= 0.5 * 20_000 / 8


def test_choose_of_numbers_says_between_what_they_are():
    bins = choose({"number:0.25": 100, "number:0.3": 100, "number:0.5": 100, "number:0.7": 100})
    assert bins is not None
    assert bins.names == (
        "below 0.25",
        "0.25",
        "0.25 to 0.3",
        "0.3 to 0.5",
        "0.5 to 0.7",
        "above 0.7",
        "other",
    )
    assert bins.count({"number:0.21": 1, "number:0.25": 2, "number:0.7": 4, "label:nan": 8}) == (
        *(1, 2, 0, 0, 4, 0),
        8,
    )


def test_choose_of_a_constant_sees_what_is_below_and_above():
    bins = choose({"number:0.5946": 400})
    assert bins is not None
    assert bins.names == ("below 0.5946", "0.5946", "above 0.5946", "other")
    assert bins.count({"number:0.5453": 1, "number:0.5946": 2, "number:0.6484": 3}) == (1, 2, 3, 0)


def test_choose_of_numbers_cut_off_at_zero_gives_zero_a_bin_of_its_own():
    bins = choose({"label:0": 600, "number:0.5": 100, "number:2": 150, "number:8": 150, "label:nan": 3})
    assert bins is not None
    assert bins.names[:2] == ("below 0", "0")
    assert bins.count({"label:0": 7, "number:-0.5": 1})[:2] == (1, 7)


def test_choose_of_more_whole_numbers_than_classes_gives_ranges():
    bins = choose({f"label:{stars}": 10 for stars in range(100)})
    assert bins is not None
    assert len(bins.edges) == 7
    assert bins.count({"label:3": 1, "label:99": 2, "label:400": 4, "label:-2": 8})[0] == 9


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"labels": ["a"], "edges": [1.0]},
        {"labels": ["a", "a"]},
        {"labels": ["other"]},
        {"edges": [2.0, 1.0]},
        {"edges": [1.0, 1.0]},
        {"edges": ["x"]},
        {"edges": None},
        {"edges": [math.inf]},
        [],
    ],
)
def test_from_json_of_what_describes_no_bins_is_refused(content):
    with pytest.raises(ValueError, match=r"bins|label|edges|float"):
        PredictionBins.from_json(content)
