"""Keeps the baseline of every endpoint: what stable does, read from its counters every ten seconds.

Goes over all endpoints that serve, those with a running release as well (of them stable alone), with one
question to the metric source and one statement to the database. Writes nothing but the column `baseline`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import inf
from typing import Any

import psycopg
from django.db import connection, transaction

from releases.domain.judge import BESIDE, Increments, Totals, advance
from releases.domain.judge.selftest import self_tests
from releases.models import Endpoint, Environment
from releases.ports import Counters, MetricSource
from releases.services.baseline import OLDEST, Baseline
from releases.services.deployments import deployment_ref

MOST_SAMPLES = 60
SHORTEST_SAMPLE = 1.0
"""Messages may come twice: a sample of less says nothing."""
SELF_TEST_EVERY = 60.0
MOST_SELF_TESTS = 100
"""The judge takes its time; those that have waited longest come first."""

_STORE = """
UPDATE releases_endpoint e SET baseline = u.baseline::jsonb
FROM unnest(%b::bigint[], %b::bigint[], %b::text[]) AS u(id, stable, baseline)
WHERE e.id = u.id AND e.stable_id = u.stable
"""


@dataclass(slots=True)
class _Found:
    """One endpoint's baseline, as it is to be stored."""

    endpoint: int
    stable: int
    stored: dict[str, Any]


def read_baselines(environments: Sequence[Environment], source: MetricSource, at: datetime) -> None:
    """Take one sample of the stable version of each endpoint of one place."""
    serving = Endpoint.objects.filter(environment__in=environments, stable__isnull=False)
    endpoints = list(serving.select_related("tenant", "environment", "model", "stable"))
    if not endpoints:
        return
    refs = {
        endpoint.pk: deployment_ref(endpoint, endpoint.stable, endpoint.stable.digest)
        for endpoint in endpoints
        if endpoint.stable is not None
    }
    counters = source.read(refs.values())
    found: list[_Found] = []
    for endpoint in endpoints:
        ref, stable = refs[endpoint.pk], endpoint.stable_id
        seen = counters.get(ref)
        if stable is None or not isinstance(seen, Counters):
            continue  # what cannot be read changes nothing; the baseline grows old
        known = endpoint.baseline if endpoint.baseline.get("ref") == ref else _beginning(ref, stable)
        after = _after(known, seen, at.timestamp())
        if after is not None:
            found.append(_Found(endpoint.pk, stable, after))
    _test(found, at.timestamp())
    _store(found)


def _beginning(ref: str, stable: int) -> dict[str, Any]:
    """Another deployment is stable now: nothing is known of it."""
    return {
        "ref": ref,
        "stable": stable,
        "totals": None,
        "bounds_ms": [],
        "samples": [],
        "predictions": {},
        "counted": {},
        "self_test": None,
    }


def _after(known: Mapping[str, Any], seen: Counters, at: float) -> dict[str, Any] | None:
    """The baseline after one more reading; None when it came too soon after the last one, or is the same."""
    if seen.at <= known.get("seen", -inf):
        return None
    totals = Totals(
        at=at,
        ok=seen.ok,
        client_errors=seen.client_errors,
        errors=seen.errors,
        latency_ms=seen.latency_ms,
        bounds_ms=seen.bounds_ms,
        series=seen.series,
        beside=tuple(seen.beside.get(name, 0) for name in BESIDE) if seen.beside else (),
    )
    previous = _totals(known["totals"])
    if previous is not None and totals.at - previous.at < SHORTEST_SAMPLE:
        return None
    step, totals = advance(previous, totals)
    return {
        **known,
        "at": at,
        "seen": seen.at,
        "totals": {name: getattr(totals, name) for name in _TOTALS},
        "bounds_ms": totals.bounds_ms,
        "samples": [] if previous is None else _samples(known, previous.at, step, totals),
        "predictions": _added(known["predictions"], known["counted"], seen.predictions),
        "counted": dict(seen.predictions) or known["counted"],  # empty: the source could not tell
    }


_TOTALS = (
    *("at", "ok", "client_errors", "errors", "latency_ms", "bounds_ms", "series"),
    *("beside", "owed", "owed_latencies"),
)


def _totals(stored: Mapping[str, Any] | None) -> Totals | None:
    if stored is None:
        return None
    lists = {name: tuple(stored.get(name, ())) for name in ("latency_ms", "bounds_ms", "beside")}
    return Totals(**{**stored, **lists})


def _samples(known: Mapping[str, Any], before: float, step: Increments | None, totals: Totals) -> list[str]:
    """The newest samples, each a line of JSON: sixty short texts are stored in a quarter of the time that
    sixty histograms take, and only the readers take them apart.

    A gap in which nothing could be read ends the row: its mean says nothing about the present. Histograms
    of other bounds cannot be added to those of today, so they are dropped. Without a step, other pods were
    counted than before."""
    if totals.at - before > OLDEST:
        return []
    kept: list[str] = known["samples"][-(MOST_SAMPLES - 1) :]
    if tuple(known["bounds_ms"]) != totals.bounds_ms:
        kept = [_line([*json.loads(line)[:4], []]) for line in kept]
    if step is None:
        return kept
    return [*kept, _line([totals.at, step.seconds, step.requests, step.errors, step.latency_ms or []])]


def _line(row: Sequence[Any]) -> str:
    return json.dumps(row, separators=(",", ":"))


def _added(
    sums: Mapping[str, int], before: Mapping[str, int], counted: Mapping[str, int]
) -> Mapping[str, int]:
    """The sums with what was predicted since the last reading; counts that fell have begun anew."""
    if not counted:
        return sums
    base = {} if any(counted.get(value, 0) < count for value, count in before.items()) else before
    fresh = {value: count - base.get(value, 0) for value, count in counted.items()}
    return {value: sums.get(value, 0) + fresh.get(value, 0) for value in {**sums, **fresh}}


def _test(found: Sequence[_Found], at: float) -> None:
    """Test stable against itself where that was last done a while ago."""
    waiting = [(_tested(one.stored), one) for one in found if one.stored["samples"]]
    due = [(last, one) for last, one in waiting if at - last >= SELF_TEST_EVERY]
    now = [one for _, one in sorted(due, key=lambda pair: pair[0])[:MOST_SELF_TESTS]]
    results = self_tests([Baseline.of_stored(one.stored).increments for one in now])
    for one, result in zip(now, results, strict=True):
        one.stored["self_test"] = {"at": at, **asdict(result)}


def _tested(stored: Mapping[str, Any]) -> float:
    return stored["self_test"]["at"] if stored["self_test"] else 0.0


def _store(found: Sequence[_Found]) -> None:
    """All in one statement; rows that somebody else holds are left for the next time, and so is what
    has got another stable version meanwhile."""
    with transaction.atomic():
        rows = Endpoint.objects.select_for_update(skip_locked=True, no_key=True)
        free = set(rows.filter(pk__in=[one.endpoint for one in found]).values_list("pk", flat=True))
        stored = [one for one in found if one.endpoint in free]
        # As in `persist`: psycopg's own cursor sends arrays as they are.
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            columns = zip(
                *((one.endpoint, one.stable, json.dumps(one.stored)) for one in stored), strict=True
            )
            if stored:
                cursor.execute(_STORE, [list(column) for column in columns])
