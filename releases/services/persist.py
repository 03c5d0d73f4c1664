"""Write what a pass has decided, before anything in the world is moved.

Every write is a compare-and-swap on row version and lease: if a person or another worker was faster,
nothing is written and the next pass decides anew. Samples, evidence, state and history go together.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection, transaction

from releases.domain.release import TERMINAL, Decision, Phase, ReleaseState
from releases.models import Endpoint, Hold, ModelVersion, Release, Sample
from releases.models.release import Kind
from releases.services import deployments, history
from releases.services.sampling import Taken


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release as it was claimed, what was decided, and what was sampled on the way."""

    release: Release
    decision: Decision
    taken: Taken | None


# column -> (type of the array that carries it, how the row takes it over)
_COLUMNS: dict[str, tuple[str, str]] = {
    "phase": ("text", "u.phase"),
    "phase_since": ("timestamptz", "u.phase_since"),
    "reason": ("text", "CASE WHEN u.reason = '' THEN r.reason ELSE u.reason END"),
    "step": ("int", "u.step"),
    "split_candidate": ("int", "u.split_candidate"),
    "split_shadow": ("bool", "u.split_shadow"),
    "hold_since": ("timestamptz", "u.hold_since"),
    "hold_elapsed": ("float8", "u.hold_elapsed"),
    "earlier_holds": ("float8", "u.earlier_holds"),
    "hold_waived": ("bool", "u.hold_waived"),
    "unknown_since": ("timestamptz", "u.unknown_since"),
    "evidence": ("bytea", "COALESCE(u.evidence, r.evidence)"),
    "counters": ("text", "COALESCE(u.counters::jsonb, r.counters)"),
    "verdict": ("text", "COALESCE(u.verdict::jsonb, r.verdict)"),
    "sampled_at": ("timestamptz", "COALESCE(u.sampled_at, r.sampled_at)"),
    "next_wake_at": ("timestamptz", "u.next_wake_at"),
    "row_version": ("int", "u.row_version"),
}
_SAMPLE = [field.attname for field in Sample._meta.concrete_fields if not field.primary_key]
_KEYS = {"id": "text", "expected": "int", "lease": "timestamptz"}
_SWAP = (
    "UPDATE releases_release r SET "  # noqa: S608 - made of the constants above only
    + ", ".join(f"{name} = {taken}" for name, (_, taken) in _COLUMNS.items())
    + ", lease_until = NULL, failures = 0, last_error = '' FROM unnest("
    + ", ".join(f"%b::{kind}[]" for kind in [*_KEYS.values(), *(k for k, _ in _COLUMNS.values())])
    + f") AS u({', '.join([*_KEYS, *_COLUMNS])}) "
    + "WHERE r.id = u.id AND r.row_version = u.expected AND r.lease_until = u.lease RETURNING r.id"
)


def quietly(outcomes: Sequence[Outcome], at: datetime) -> list[Outcome]:
    """Store passes without an event, all in one statement; returns those that were stored."""
    if not outcomes:
        return []
    with transaction.atomic():
        stored = _swap(outcomes, at)
    return stored


def event(outcome: Outcome, at: datetime) -> bool:
    """Store an event with everything that follows from it; False when somebody was faster."""
    release = outcome.release
    before = release.phase
    actor = release.intent_by if outcome.decision.intent_is_done and release.intent else history.PORTAL
    with transaction.atomic():
        if not _swap([outcome], at):
            return False
        if outcome.decision.intent_is_done:
            release.intent = release.intent_reason = release.intent_by = ""
        if release.phase != before:
            _follow(release, Phase(before), at)
        release.save(
            update_fields=[
                "intent",
                "intent_reason",
                "intent_by",
                "digest",
                "approvals_expire_at",
                "started_at",
                "finished_at",
            ]
        )
        history.append(release, from_phase=before, reason=outcome.decision.reason, actor=actor, at=at)
    return True


def _swap(outcomes: Sequence[Outcome], at: datetime) -> list[Outcome]:
    rows = [_row(outcome, at) for outcome in outcomes]
    connection.ensure_connection()
    # Django's own cursor writes parameters into the statement as quoted text; this one sends arrays as
    # they are, which takes a third of the time. Same connection, same transaction.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_SWAP, [list(column) for column in zip(*rows, strict=True)])
        done = {row[0] for row in cursor.fetchall()}
        stored = [outcome for outcome in outcomes if outcome.release.pk in done]
        _copy_samples(cursor, [row for outcome in stored if outcome.taken for row in outcome.taken.rows])
    for outcome in stored:
        _take_over(outcome)
    return stored


def _copy_samples(cursor: Any, rows: Sequence[Sample]) -> None:
    """COPY: several times as fast as INSERT, and this is the widest write of a pass."""
    if not rows:
        return
    with cursor.copy(f"COPY releases_sample ({', '.join(_SAMPLE)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([getattr(row, name) for name in _SAMPLE])


def _row(outcome: Outcome, at: datetime) -> tuple[Any, ...]:
    release, decision, taken = outcome.release, outcome.decision, outcome.taken
    state = decision.state
    wake = None if decision.wake_in is None else at + timedelta(seconds=decision.wake_in)
    return (
        release.pk,
        release.row_version,
        release.lease_until,
        state.phase.value,
        _moment(state.since),
        decision.reason,
        state.step,
        state.split.candidate,
        state.split.shadow,
        _moment(state.hold_since),
        state.hold_elapsed,
        state.earlier_holds,
        state.hold_waived,
        _moment(state.unknown_since),
        taken.evidence if taken else None,
        json.dumps(taken.counters) if taken else None,
        json.dumps(taken.verdict.to_json()) if taken else None,
        taken.at if taken else None,
        wake,
        release.row_version + decision.is_event,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _take_over(outcome: Outcome) -> None:
    """Bring the instance in step with its row, for what comes after in the pass."""
    release, taken = outcome.release, outcome.taken
    state: ReleaseState = outcome.decision.state
    release.set_state(state)
    release.row_version += outcome.decision.is_event
    release.lease_until = None
    release.reason = outcome.decision.reason or release.reason
    if taken is None:
        return
    release.counters, release.evidence, release.sampled_at = taken.counters, taken.evidence, taken.at
    release.verdict = taken.verdict.to_json()
    # Both change next to never, mostly with the first sample.
    changed = []
    if taken.bounds and list(taken.bounds) != release.latency_bounds:
        release.latency_bounds = list(taken.bounds)
        changed.append("latency_bounds")
    if taken.bins is not None and release.prediction_bins is None:
        release.prediction_bins = taken.bins.to_json()
        changed.append("prediction_bins")
    if changed:
        release.save(update_fields=changed)


def _follow(release: Release, before: Phase, at: datetime) -> None:
    """What a change of phase means for the rows around the release."""
    phase = Phase(release.phase)
    if before is Phase.VALIDATING and phase in (Phase.AWAITING_APPROVAL, Phase.DEPLOYING):
        release.digest = ModelVersion.objects.values_list("digest", flat=True).get(pk=release.version_id)
    if phase is Phase.AWAITING_APPROVAL:
        ttl = release.endpoint.environment.approval_ttl_seconds
        release.approvals_expire_at = at + timedelta(seconds=ttl)
    if phase is Phase.DEPLOYING:
        deployments.keep(release.endpoint, release.version, release.digest, at)
    if phase in (Phase.CANARY, Phase.PROMOTING) and release.started_at is None:
        release.started_at = at
    if phase in TERMINAL:
        release.finished_at = at
    if phase is Phase.SUCCEEDED:
        _move_stable(release, at)
    elif phase in (Phase.ROLLED_BACK, Phase.CANCELLED) and release.digest:
        _let_candidate_go(release, at)
    if phase is Phase.ROLLED_BACK:
        _hold(release, at)


def _move_stable(release: Release, at: datetime) -> None:
    """The candidate's own deployment becomes stable; the old one stays warm for the grace time."""
    endpoint = Endpoint.objects.select_for_update().get(pk=release.endpoint_id)
    left = endpoint.stable
    if left is not None and left.pk != release.version_id:
        grace = release.rollout_plan().grace_seconds
        deployments.let_go(release.endpoint, left, left.digest, at, grace)
    endpoint.previous, endpoint.stable, endpoint.stable_since = left, release.version, at
    endpoint.save(update_fields=["previous", "stable", "stable_since"])


def _let_candidate_go(release: Release, at: datetime) -> None:
    grace = release.rollout_plan().grace_seconds if release.phase == Phase.ROLLED_BACK else 0
    if release.version_id != release.endpoint.stable_id:
        deployments.let_go(release.endpoint, release.version, release.digest, at, grace)


def _hold(release: Release, at: datetime) -> None:
    """A rollback that stays: the version may not come back until someone says why."""
    if release.kind == Kind.RETURN:
        return
    last = history.last_reason(release, Phase.ROLLING_BACK)
    Hold.objects.get_or_create(
        endpoint=release.endpoint,
        version=release.version,
        lifted_at=None,
        defaults={
            "tenant_id": release.tenant_id,
            "release": release,
            "reason": last,
            "placed_at": at,
            "placed_by": history.PORTAL,
        },
    )
