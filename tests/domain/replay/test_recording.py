"""Recordings as text: what is read, what is refused and how it is said."""

import json

import pytest

from releases.domain.judge import MOST_BINS, MOST_BUCKETS
from releases.domain.replay import BadRecording, read_recording, write_line
from tests.domain.replay.recordings import arm, line, steady


def lengths(*texts: str) -> list[float]:
    return [recorded.sample.seconds for recorded in read_recording(texts)]


def test_reading_first_sample_is_as_long_as_the_second() -> None:
    texts = [line(t, arm(1), arm(1)) for t in (100, 103, 104.5)]
    assert lengths(*texts) == [3, 3, 1.5]
    assert lengths(texts[0]) == [1]


def test_reading_blank_lines_are_allowed_and_counted() -> None:
    bad = line(9, arm(1), arm(1, 2))
    with pytest.raises(BadRecording, match=r"^line 5: candidate\.errors is larger than requests$"):
        list(read_recording(["\n", line(1, arm(1), None), "", "   \n", bad]))


def test_reading_yields_before_the_end_of_the_input() -> None:
    texts = iter(steady(3))
    reading = read_recording(texts)
    assert next(reading).t == 1
    assert len(list(texts)) == 1


def test_reading_keeps_null_apart_from_no_requests() -> None:
    lost, silent = read_recording([line(1, None, None), line(2, arm(0), arm(0))])
    assert (lost.sample.stable, lost.sample.candidate) == (None, None)
    assert silent.sample.candidate is not None
    assert silent.sample.candidate.requests == 0


def test_writing_and_reading_again_gives_the_same_samples() -> None:
    texts = [*steady(5, failing=0.2), line(6, None, arm(3, 1)), line(7, arm(2), None)]
    first = list(read_recording(texts))
    again = list(read_recording([write_line(recorded) for recorded in first]))
    assert again == first
    assert json.loads(write_line(first[5])) == {"t": 6, "stable": None, "candidate": arm(3, 1)}


GOOD = {"t": 1, "stable": None, "candidate": None}
MANY = list(range(1, MOST_BUCKETS + 1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "line 1 is not JSON: Expecting property name enclosed in double quotes"),
        ('{"t": NaN}', "line 1 is not JSON: NaN is not a number that JSON knows"),
        ("[" * 100_000, "line 1 is not JSON: it cannot be read"),
        ([], "line 1: a sample has to be an object"),
        ({"t": 1, "stable": None}, "line 1: candidate is missing"),
        ({**GOOD, "baseline": {}}, "line 1: baseline is not known; known are t, stable, candidate"),
        ({**GOOD, "t": "1"}, "line 1: t has to be a number of seconds"),
        ({**GOOD, "t": True}, "line 1: t has to be a number of seconds"),
        ({**GOOD, "t": 10**400}, "line 1: t is too large for seconds"),
        ({**GOOD, "stable": 3}, "line 1: stable has to be an object or null"),
        ({**GOOD, "stable": {"requests": 1}}, "line 1: stable.errors is missing"),
        ({**GOOD, "stable": arm(1.5)}, "line 1: stable.requests has to be a whole number, 0 or more"),
        ({**GOOD, "stable": arm(1, -1)}, "line 1: stable.errors has to be a whole number, 0 or more"),
        ({**GOOD, "stable": arm(True)}, "line 1: stable.requests has to be a whole number, 0 or more"),
        ({**GOOD, "stable": arm(10**13)}, "line 1: stable.requests is larger than 1e+12"),
        ({**GOOD, "candidate": arm(1, 2)}, "line 1: candidate.errors is larger than requests"),
        ({**GOOD, "candidate": arm(1, error=2)}, "line 1: candidate.error is not known; known are requests"),
        ({**GOOD, "candidate": arm(1, latency_ms=[])}, "line 1: candidate.latency_ms has to be an object"),
        (
            {**GOOD, "candidate": arm(1, latency_ms={"le": [5, 5], "counts": [1, 0, 0]})},
            "line 1: candidate.latency_ms.le has to be bounds that rise",
        ),
        (
            {**GOOD, "candidate": arm(1, latency_ms={"le": [0, 5], "counts": [1, 0, 0]})},
            "line 1: candidate.latency_ms.le.0 has to be a number of milliseconds above 0",
        ),
        (
            {**GOOD, "candidate": arm(1, latency_ms={"le": [1, 5], "counts": [1, 0]})},
            "line 1: candidate.latency_ms.counts needs 3 counts for 2 bounds",
        ),
        (
            {**GOOD, "candidate": arm(1, latency_ms={"le": [5], "counts": [1, "0"]})},
            "line 1: candidate.latency_ms.counts.1 has to be a whole number",
        ),
        (
            {**GOOD, "candidate": arm(1, latency_ms={"le": MANY, "counts": [0, *MANY]})},
            f"has {MOST_BUCKETS + 1} buckets; at most {MOST_BUCKETS} can be judged",
        ),
        (
            {**GOOD, "candidate": arm(1, predictions=[1] * (MOST_BINS + 1))},
            f"has {MOST_BINS + 1} bins; at most {MOST_BINS} can be judged",
        ),
        ({**GOOD, "candidate": arm(1, predictions=3)}, "line 1: candidate.predictions has to be a list"),
    ],
)
def test_reading_says_what_is_wrong_and_where(content: object, said: str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(BadRecording) as refused:
        list(read_recording([text]))
    assert said in str(refused.value)


@pytest.mark.parametrize("t", [5, 4])
def test_reading_time_that_does_not_rise_is_refused(t: float) -> None:
    with pytest.raises(BadRecording, match=f"^line 2: t has to rise: {t} comes after 5$"):
        list(read_recording([line(5, None, None), line(t, None, None)]))


def test_reading_bins_that_change_are_refused() -> None:
    texts = [line(1, arm(2, predictions=[1, 1]), None), line(2, None, arm(3, predictions=[1, 1, 1]))]
    with pytest.raises(BadRecording, match=r"^line 2: candidate\.predictions has 3 bins, and 2 before"):
        list(read_recording(texts))


@pytest.mark.parametrize("texts", [[], ["", "\n"]])
def test_reading_nothing_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadRecording, match="there is no sample in it"):
        list(read_recording(texts))
