"""The stored samples of releases as recordings, for replay: line by line for one release, or merged for
many at once.

A release's time begins with its first sample. Merging samples is allowed: a longer sample is as valid as
the short ones it is made of; only what could not be read stays apart. Must not know what is judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from releases.domain.judge import Increments
from releases.domain.judge import Sample as Looked
from releases.domain.replay import Recorded
from releases.models import Release, Sample
from releases.ports import Missing

MOST_SAMPLES = 300
"""So many samples of each release at most, or a few more where an arm could not be read."""
LONGEST_SECONDS = 4 * 3_600
"""Of each release no more than this is looked at when many are read."""
NOTHING = Increments(0.0, 0, 0)

_AT, _SECONDS, _REQUESTS, _ERRORS, _UNREACHABLE = range(5)
Floats = NDArray[np.float64]

# One text of numbers per release and arm: a hundred times fewer objects than rows with arrays.
_ROWS = """
    SELECT sample.release_id, sample.arm,
           string_agg(concat_ws(' ', extract(epoch FROM at), seconds, requests, errors,
                                (missing = %(unreachable)s)::int, cardinality(latency_counts),
                                cardinality(prediction_counts)), ' ' ORDER BY at),
           string_agg(array_to_string(latency_counts, ' '), ' ' ORDER BY at),
           string_agg(array_to_string(prediction_counts, ' '), ' ' ORDER BY at)
    FROM releases_sample AS sample JOIN releases_release AS release ON release.id = sample.release_id
    WHERE sample.release_id = ANY(%(releases)s) AND sample.seconds > 0
      AND sample.at <= coalesce(release.started_at, release.requested_at) + %(longest)s * interval '1 s'
    GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is kept of a release. `note`: what of it cannot be replayed, as a sentence; mostly empty."""

    samples: tuple[Recorded, ...] = ()
    note: str = ""

    @property
    def seconds(self) -> float:
        """For how long it was sampled."""
        return self.samples[-1].t if self.samples else 0.0


def recordings_of(releases: Sequence[Release]) -> list[Recording]:
    """The merged samples of each release; one query for all."""
    asked: dict[str, Any] = {
        "releases": [release.pk for release in releases],
        "unreachable": Missing.UNREACHABLE.value,
        "longest": LONGEST_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, asked)
        found = {(row[0], row[1]): row[2:] for row in cursor.fetchall()}
    return [
        _recording(release, found.get((release.pk, "stable")), found.get((release.pk, "candidate")))
        for release in releases
    ]


def recorded(release: Release) -> Iterator[Recorded]:
    """Every sample of a release, unmerged, read from the database as it is asked for."""
    rows = release.samples.filter(seconds__gt=0).order_by("at", "arm")
    begin: float | None = None
    for at, both in groupby(rows.iterator(chunk_size=2_000), key=attrgetter("at")):
        arms = {row.arm: row for row in both}
        seconds = max(row.seconds for row in arms.values())
        begin = at.timestamp() - seconds if begin is None else begin
        stable, candidate = (_increments(release, arms.get(arm)) for arm in ("stable", "candidate"))
        yield Recorded(round(at.timestamp() - begin, 3), Looked(seconds, stable, candidate))


def _increments(release: Release, row: Sample | None) -> Increments | None:
    """An arm that is not there, or has no counters yet, was asked nothing."""
    if row is None:
        return NOTHING
    if row.missing == Missing.UNREACHABLE.value:
        return None
    fits = len(row.latency_counts) == len(release.latency_bounds) + 1 and any(row.latency_counts)
    return Increments(
        row.seconds,
        row.requests,
        row.errors,
        tuple(row.latency_counts) if fits else None,
        tuple(release.latency_bounds) if fits else (),
        predictions=tuple(row.prediction_counts) if any(row.prediction_counts) else None,
    )


@dataclass(frozen=True, slots=True)
class _Arm:
    """The rows of one arm as arrays: figures (n, 5), histograms (n, buckets), predictions (n, bins).
    `unfit`: there are histograms of other bounds, which are left out."""

    figures: Floats  # columns: _AT, _SECONDS, _REQUESTS, _ERRORS, _UNREACHABLE
    latency: Floats
    predictions: Floats
    unfit: bool

    @classmethod
    def read(cls, texts: tuple[str | None, ...] | None, buckets: int) -> "_Arm":
        numbers, latencies, predictions = texts or ("", "", "")
        table = _numbers(numbers).reshape(-1, 7)
        timed, predicted = table[:, 5], table[:, 6]
        return cls(
            figures=table[:, :5],
            latency=_ragged(_numbers(latencies), timed, buckets),
            predictions=_ragged(_numbers(predictions), predicted, int(predicted.max(initial=0))),
            unfit=bool(np.any((timed > 0) & (timed != buckets))),
        )

    def aligned(self, at: Floats) -> "_Arm":
        """At these times, which hold all of its own; with nothing where it has no row."""
        place = np.searchsorted(at, self.figures[:, _AT])

        def spread(values: Floats) -> Floats:
            wide = np.zeros((len(at), values.shape[1]))
            wide[place] = values
            return wide

        return _Arm(spread(self.figures), spread(self.latency), spread(self.predictions), self.unfit)

    def merged(self, starts: NDArray[np.intp], bounds: tuple[float, ...]) -> list[Increments | None]:
        """Summed from each start to the next one."""
        figures, latency, predictions = (
            np.add.reduceat(values, starts, axis=0)
            for values in (self.figures, self.latency, self.predictions)
        )
        return [
            None
            if figures[row, _UNREACHABLE]
            else Increments(
                float(figures[row, _SECONDS]),
                int(figures[row, _REQUESTS]),
                int(figures[row, _ERRORS]),
                _counts(latency[row]),
                bounds if latency[row].any() else (),
                predictions=_counts(predictions[row]),
            )
            for row in range(len(starts))
        ]


def _counts(values: Floats) -> tuple[int, ...] | None:
    return tuple(values.astype(int).tolist()) if values.any() else None


def _recording(
    release: Release, stable: tuple[str | None, ...] | None, candidate: tuple[str | None, ...] | None
) -> Recording:
    if candidate is None:
        return Recording(note="no samples of it are kept")
    bounds = tuple(release.latency_bounds)
    buckets = len(bounds) + 1 if bounds else 0
    arms = [_Arm.read(texts, buckets) for texts in (stable, candidate)]
    at = np.union1d(*(arm.figures[:, _AT] for arm in arms))
    stable_arm, candidate_arm = (arm.aligned(at) for arm in arms)
    columns = stable_arm.figures, candidate_arm.figures
    seconds = np.maximum(*(figures[:, _SECONDS] for figures in columns))
    lost, candidate_lost = (figures[:, _UNREACHABLE] for figures in columns)
    starts = _starts(lost + 2 * candidate_lost)
    ends = at[np.append(starts[1:], len(at)) - 1] - (at[0] - seconds[0])
    lengths = np.add.reduceat(seconds, starts)
    samples = tuple(
        Recorded(round(float(end), 3), Looked(float(length), *both))
        for end, length, *both in zip(
            ends,
            lengths,
            stable_arm.merged(starts, bounds),
            candidate_arm.merged(starts, bounds),
            strict=True,
        )
    )
    return Recording(samples, _note(samples[-1].t, any(arm.unfit for arm in arms)))


def _note(seconds: float, unfit: bool) -> str:
    if unfit:
        return "its latency buckets changed on the way, so latencies of other bounds are left out"
    if seconds >= LONGEST_SECONDS - 60:
        return f"only its first {LONGEST_SECONDS // 3_600} h are looked at"
    return ""


def _starts(missing: Floats) -> NDArray[np.intp]:
    """Where merged samples begin: every so many rows, and wherever an arm is lost or found again."""
    width = -(-len(missing) // MOST_SAMPLES)
    begins = np.arange(len(missing)) % width == 0
    begins[1:] |= missing[1:] != missing[:-1]
    return np.flatnonzero(begins)


def _numbers(text: str | None) -> Floats:
    return np.fromstring(text or "", sep=" ", dtype=np.float64)


def _ragged(values: Floats, lengths: Floats, width: int) -> Floats:
    """Rows of unlike lengths, one after the other, as a table; zeros for a row that is not `width` long."""
    table = np.zeros((len(lengths), width))
    if not width:
        return table
    ends = np.cumsum(lengths).astype(np.intp)
    fits = lengths == width
    places = (ends[fits] - width)[:, None] + np.arange(width)
    table[fits] = values[places]
    return table
