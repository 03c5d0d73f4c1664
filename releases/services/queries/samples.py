"""The samples of a release as series of bounded length, summed by the database into bins of equal time.

A canary of a minute gives a point a second, one of a week still at most MOST_BINS points.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from django.db import connection
from django.db.models import Max, Min
from numpy.typing import NDArray

from releases.domain.judge import ERRORS_VS_STABLE, LATENCY_VS_STABLE, PREDICTIONS_VS_STABLE
from releases.models import Sample

MOST_BINS = 300
Floats = NDArray[np.float64]

_COUNTS = """
    SELECT arm, extract(epoch FROM max(at))::float8, sum(requests), sum(errors), sum(seconds),
           max(harm_evidence), (array_agg(certificate_evidence ORDER BY at DESC))[1],
           max(errors_evidence), max(latency_evidence), max(predictions_evidence)
    FROM releases_sample WHERE release_id = %(release)s
    GROUP BY arm, floor(extract(epoch FROM at) / %(width)s)
    ORDER BY 2
"""
_LATENCIES = """
    SELECT arm, max(until), array_agg(total ORDER BY position)
    FROM (
        SELECT arm, floor(extract(epoch FROM at) / %(width)s) AS bin, position,
               sum(amount) AS total, extract(epoch FROM max(at))::float8 AS until
        FROM releases_sample, unnest(latency_counts) WITH ORDINALITY AS bucket(amount, position)
        WHERE release_id = %(release)s
        GROUP BY 1, 2, 3
    ) AS buckets
    GROUP BY arm, bin
    ORDER BY 2
"""
_SUMS = """
    SELECT arm, array_agg(total ORDER BY position)
    FROM (
        SELECT arm, position, sum(amount) AS total
        FROM releases_sample, unnest({column}) WITH ORDINALITY AS bin(amount, position)
        WHERE release_id = %(release)s
        GROUP BY 1, 2
    ) AS bins
    GROUP BY arm
"""
_PREDICTIONS, _BESIDE = (_SUMS.format(column=column) for column in ("prediction_counts", "beside_counts"))
_COMPARISONS = (ERRORS_VS_STABLE, LATENCY_VS_STABLE, PREDICTIONS_VS_STABLE)


@dataclass(frozen=True, slots=True)
class ArmSeries:
    """One arm. `at` are Unix seconds at the end of each bin; counts are of the bin, not cumulative.
    `by_rule`: the evidence of each comparison, the highest of the bin, NaN where it was off.
    `predictions`: all of them, per bin of predictions. `beside`: all that was counted beside the model, in
    the order of `judge.BESIDE`; empty when nothing was."""

    at: Floats = field(default_factory=lambda: np.zeros(0))
    requests: Floats = field(default_factory=lambda: np.zeros(0))
    errors: Floats = field(default_factory=lambda: np.zeros(0))
    seconds: Floats = field(default_factory=lambda: np.zeros(0))
    harm: Floats = field(default_factory=lambda: np.zeros(0))
    certificate: Floats = field(default_factory=lambda: np.zeros(0))
    by_rule: Mapping[str, Floats] = field(default_factory=dict)
    latency_at: Floats = field(default_factory=lambda: np.zeros(0))
    latency: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    predictions: Floats = field(default_factory=lambda: np.zeros(0))
    beside: Floats = field(default_factory=lambda: np.zeros(0))

    def requests_per_second(self, window: float = 30.0) -> float | None:
        """Over the newest `window` seconds; None without a sample."""
        if not len(self.at):
            return None
        recent = self.at > self.at[-1] - window
        seconds = float(self.seconds[recent].sum())
        return float(self.requests[recent].sum()) / seconds if seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Series:
    """Both arms of a release."""

    stable: ArmSeries = field(default_factory=ArmSeries)
    candidate: ArmSeries = field(default_factory=ArmSeries)

    @property
    def is_empty(self) -> bool:
        """Nothing was sampled."""
        return not len(self.candidate.at)


def series_of(release_id: str) -> Series:
    """All samples of a release in at most MOST_BINS bins; five queries."""
    ends = Sample.objects.filter(release=release_id).aggregate(first=Min("at"), last=Max("at"))
    if ends["first"] is None:
        return Series()
    span = (ends["last"] - ends["first"]).total_seconds()
    asked = {"release": release_id, "width": max(1, math.ceil(span / MOST_BINS))}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, asked)
        counts = cursor.fetchall()
        cursor.execute(_LATENCIES, asked)
        latencies = cursor.fetchall()
        cursor.execute(_PREDICTIONS, asked)
        predictions = dict(cursor.fetchall())
        cursor.execute(_BESIDE, asked)
        beside = dict(cursor.fetchall())
    return Series(
        stable=_arm("stable", counts, latencies, predictions, beside),
        candidate=_arm("candidate", counts, latencies, predictions, beside),
    )


def _arm(
    arm: str,
    counts: list[tuple[object, ...]],
    latencies: list[tuple[object, ...]],
    predictions: Mapping[str, object],
    beside: Mapping[str, object],
) -> ArmSeries:
    columns = np.array([row[1:] for row in counts if row[0] == arm], dtype=np.float64).reshape(-1, 9).T
    slow = [row for row in latencies if row[0] == arm]
    size = max((len(row[2]) for row in slow), default=0)  # type: ignore[arg-type]
    whole = [row for row in slow if len(row[2]) == size]  # type: ignore[arg-type]
    return ArmSeries(
        at=columns[0],
        requests=columns[1],
        errors=columns[2],
        seconds=columns[3],
        harm=columns[4],
        certificate=columns[5],
        by_rule=dict(zip(_COMPARISONS, columns[6:], strict=True)),
        latency_at=np.array([row[1] for row in whole], dtype=np.float64),
        latency=np.array([row[2] for row in whole], dtype=np.float64).reshape(len(whole), size),
        predictions=np.array(predictions.get(arm, ()), dtype=np.float64),
        beside=np.array(beside.get(arm, ()), dtype=np.float64),
    )
