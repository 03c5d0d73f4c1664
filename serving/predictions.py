"""Counts what a model predicted: one prediction per request, the first row of its answer.

Requests are the unit that the judge takes as independent; the rows of one request are not. The number
of different values is bounded, and which value counts as what does not depend on the order in which
requests came in, because the counts of two servers will be compared. Knows neither MLServer nor models.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

NAME = "model_predictions"
LABEL, NUMBER = "label", "number"
OTHER = (LABEL, "other")
NOT_A_NUMBER = (LABEL, "nan")

MOST_VALUES = 200
LONGEST_LABEL = 64
"""Longer text is no class; nor has it a place among metrics, where anybody may read it."""
MOST_COLUMNS = 1024
LARGEST_CLASS = 1000
LARGEST_NUMBER = 1e300
BUCKETS_PER_OCTAVE = 8
"""As an exponential histogram of OpenTelemetry with scale 3: buckets grow by 2**(1/8), 9 %."""

Value = tuple[str, str]


def prediction(row: Sequence[Any]) -> Value:
    """What one row of an answer says, as (kind, value).

    A text or truth value is the answer, whatever numbers stand beside it; several numbers are
    probabilities of classes: the largest is the answer; a single number stands for itself.
    """
    for value in row:
        if isinstance(value, str | bytes | bool):
            return _text(value)
    if len(row) == 1:
        return _number(row[0])
    numbers = [-math.inf if value is None or value != value else value for value in row]
    return LABEL, f"argmax:{numbers.index(max(numbers))}"


def _text(value: str | bytes | bool) -> Value:
    if isinstance(value, bool):
        return LABEL, "true" if value else "false"
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return (LABEL, value) if len(value) <= LONGEST_LABEL and _is_writable(value) else OTHER


def _is_writable(text: str) -> bool:
    """With half of a surrogate pair among the labels the whole metrics page could not be written, and a
    zero byte has no place in a database."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _number(value: Any) -> Value:
    """A whole number up to 1000 is a class; others are known by the upper bound of their bucket."""
    if value is None or value != value:
        return NOT_A_NUMBER
    if abs(value) <= LARGEST_CLASS and value == int(value):
        return LABEL, str(int(value))
    if abs(value) > LARGEST_NUMBER:
        return LABEL, "inf" if value > 0 else "-inf"
    position = math.log2(abs(value)) * BUCKETS_PER_OCTAVE
    # Upwards for both signs: the values of a bucket never lie above its bound.
    bound = (
        2.0 ** (math.ceil(position) / BUCKETS_PER_OCTAVE)
        if value > 0
        else -(2.0 ** (math.floor(position) / BUCKETS_PER_OCTAVE))
    )
    return NUMBER, f"{bound:.4g}"


def first_row(outputs: Iterable[Any]) -> list[Any]:
    """The first row of V2 outputs, all of them side by side; empty when there are no rows."""
    row: list[Any] = []
    for output in outputs:
        data = getattr(output.data, "root", output.data)
        row += data[: math.prod(output.shape[1:])]
    return row


class PredictionCounter(Collector):
    """Cumulative counts per value, for Prometheus. It is there from the beginning, so that "nothing was
    predicted yet" can be told from "nobody counts"."""

    def __init__(self) -> None:
        self._counts: dict[Value, int] = {OTHER: 0}
        self._line: list[tuple[float, Value]] | None = None

    def count(self, outputs: Iterable[Any]) -> None:
        """One more answer. Never raises: what cannot be understood is "other"."""
        try:
            row = first_row(outputs)
            if not row:
                return
            value = prediction(row) if len(row) <= MOST_COLUMNS else OTHER
        except Exception:
            value = OTHER
        counts = self._counts
        if value not in counts and len(counts) >= MOST_VALUES:
            value = self._nearest(value)
        counts[value] = counts.get(value, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Called by the metrics endpoint."""
        family = CounterMetricFamily(
            NAME, "Predictions: the first row of each answer", labels=["kind", "value"]
        )
        for value, number in list(self._counts.items()):
            family.add_metric(value, number)
        yield family

    def _nearest(self, value: Value) -> Value:
        """The known value that stands for a new one when no more may become known. For a number that is
        its neighbour: "other" would depend on which numbers happened to come first."""
        number = _on_line(value)
        if number is None:
            return OTHER
        if self._line is None:  # what is known does not change any more
            points = ((_on_line(known), known) for known in self._counts)
            self._line = sorted((point, known) for point, known in points if point is not None)
        if not self._line:
            return OTHER
        place = bisect_left(self._line, (number,))
        neighbours = self._line[max(0, place - 1) : place + 1]
        return min(neighbours, key=lambda neighbour: abs(neighbour[0] - number))[1]


@cache
def counter_of_this_process() -> PredictionCounter:
    """The one that the metrics endpoint shows. MLServer imports a runtime twice and may load its model
    again: the counts go on."""
    counter = PredictionCounter()
    REGISTRY.register(counter)
    return counter


def _on_line(value: Value) -> float | None:
    try:
        number = float(value[1])
    except ValueError:
        return None
    return number if math.isfinite(number) else None
