"""Releases, their record and their places as plain JSON values.

The one shape that API, callbacks and evidence share. Reads rows and writes nothing; knows the names of
routes, for links, and nothing else of HTTP.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from releases.domain.judge import BESIDE
from releases.domain.judge.selftest import SelfTest
from releases.domain.release import ACTIVE, Gate
from releases.domain.verdict import NO_VERDICT, finite
from releases.models import (
    Approval,
    Delivery,
    DeliveryState,
    Endpoint,
    Hold,
    ModelVersion,
    Release,
    ReleaseManifest,
    Sample,
    Transition,
    ValidationCheck,
)
from releases.services import approvals
from releases.services.baseline import baseline_of
from releases.services.entrances import Entrance, entrances

RELATED = ("tenant", "endpoint__environment", "endpoint__model", "version", "stable")
"""What to select with releases that are to be described, so that none costs a query of its own."""


def moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, as in "2026-01-31T08:30:00Z"."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def of_releases(releases: Sequence[Release]) -> list[dict[str, Any]]:
    """Describe releases that were read with `RELATED`; one query for all their approvals."""
    gates = approvals.gates(releases)
    return [_release(release, gates[release.pk]) for release in releases]


def of_release(release: Release) -> dict[str, Any]:
    """Describe one release."""
    return of_releases([release])[0]


def _release(release: Release, gate: Gate) -> dict[str, Any]:
    place = [release.tenant.slug, release.pk]
    expires = None if gate.expires_at is None else datetime.fromtimestamp(gate.expires_at, UTC)
    return {
        "id": release.pk,
        "url": settings.PORTAL_URL + reverse("api:release", args=place),
        "model": release.endpoint.model.name,
        "version": release.version.version,
        "environment": release.endpoint.environment.name,
        "requested_by": release.requested_by,
        "requested_at": moment(release.requested_at),
        "phase": release.phase,
        "reason": release.reason,
        "row_version": release.row_version,
        "stable": version_of(release.stable),
        "candidate": release.version.version,
        "split": {"stable": 100 - release.split_candidate, "candidate": release.split_candidate},
        "step": release.step,
        "digest": release.digest or None,
        "commit": of_commit(release),
        "plan": release.rollout_plan().to_json(),
        "approvals": {"required": gate.required, "given": gate.given, "expires_at": moment(expires)},
        "verdict": (release.last_verdict() or NO_VERDICT).to_json(),
        "started_at": moment(release.started_at),
        "finished_at": moment(release.finished_at),
        "_links": {
            "page": settings.PORTAL_URL + reverse("web:release", args=place),
            "evidence": settings.PORTAL_URL + reverse("api:evidence", args=place),
        },
    }


def version_of(version: ModelVersion | None) -> str | None:
    """The semantic version as text; None where there is none."""
    return None if version is None else version.version


def of_commit(release: Release) -> dict[str, str] | None:
    """The commit that is told how far the release is; None when there is none."""
    if not release.commit_repository:
        return None
    return {"repository": release.commit_repository, "sha": release.commit_sha}


def of_delivery(delivery: Delivery) -> dict[str, Any]:
    """One change of phase as it is told, or to be told, to one receiver."""
    is_waiting = delivery.state == DeliveryState.WAITING
    return {
        "id": delivery.pk,
        "channel": delivery.channel,
        "phase": delivery.transition.to_phase,
        "sequence": delivery.transition.sequence,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": moment(delivery.next_attempt_at) if is_waiting else None,
        "delivered_at": moment(delivery.delivered_at),
        "gave_up_at": moment(delivery.gave_up_at),
        "last_error": delivery.last_error,
    }


def of_check(check: ValidationCheck) -> dict[str, Any]:
    """One check of the validation or the smoke test."""
    return {
        "stage": check.stage,
        "name": check.name,
        "outcome": check.outcome,
        "reason": check.reason,
        "detail": check.detail,
        "seconds": check.seconds,
        "at": moment(check.at),
    }


def of_manifest(manifest: ReleaseManifest | None) -> dict[str, Any] | None:
    """The exact manifests, as YAML: before the release, as they were to be applied, and when it had ended.
    None when nobody looked at any."""
    if manifest is None:
        return None
    return {
        "before": manifest.before,
        "after": manifest.after,
        "checked_at": moment(manifest.at),
        "applied_at": moment(manifest.applied_at),
        "ended": manifest.ended if manifest.ended_at else None,
        "ended_at": moment(manifest.ended_at),
    }


def of_approval(approval: Approval, release: Release) -> dict[str, Any]:
    """One decision; `counts` tells whether it was given for the plan and digest of today."""
    return {
        "gate": approval.gate,
        "decision": "approved" if approval.approved else "rejected",
        "by": approval.by_name,
        "comment": approval.comment,
        "plan_digest": approval.plan_digest,
        "digest": approval.digest or None,
        "counts": approvals.counts(approval, release),
        "at": moment(approval.at),
    }


def of_sample(sample: Sample) -> dict[str, Any]:
    """One reading of one arm; the evidence is on the candidate's."""
    evidence = {
        "harm": sample.harm_evidence,
        "certificate": sample.certificate_evidence,
        "errors": sample.errors_evidence,
        "latency": sample.latency_evidence,
        "predictions": sample.predictions_evidence,
    }
    told = {name: None if value is None else finite(value) for name, value in evidence.items()}
    return {
        "at": moment(sample.at),
        "arm": sample.arm,
        "seconds": sample.seconds,
        "requests": sample.requests,
        "errors": sample.errors,
        "client_errors": sample.client_errors,
        "latency_counts": sample.latency_counts,
        "prediction_counts": sample.prediction_counts,
        "beside": dict(zip(BESIDE, sample.beside_counts, strict=True)) if sample.beside_counts else None,
        "missing": sample.missing or None,
        "split_candidate": sample.split_candidate,
        "evidence": told if sample.arm == "candidate" else None,
    }


def of_transition(transition: Transition) -> dict[str, Any]:
    """One line of the history with its place in the chain."""
    return {
        "sequence": transition.sequence,
        "at": moment(transition.at),
        "from_phase": transition.from_phase or None,
        "to_phase": transition.to_phase,
        "step": transition.step,
        "split_candidate": transition.split_candidate,
        "reason": transition.reason,
        "actor": transition.actor,
        "previous_hash": transition.previous_hash,
        "hash": transition.hash,
    }


def of_endpoints(endpoints: Sequence[Endpoint], at: datetime) -> list[dict[str, Any]]:
    """What serves at each endpoint at this time; a handful of queries for all of them."""
    places = [endpoint.pk for endpoint in endpoints]
    active = Release.objects.select_related("version").filter(endpoint__in=places, phase__in=ACTIVE)
    releases = {release.endpoint_id: release for release in active}
    standing = Hold.objects.select_related("version").filter(endpoint__in=places, lifted_at__isnull=True)
    holds = {hold.endpoint_id: hold for hold in standing.order_by("placed_at")}  # the newest stays
    ways = entrances(endpoints)
    return [
        {
            **_endpoint(place, releases.get(place.pk), holds.get(place.pk), ways[place.pk]),
            "baseline": _baseline(place, at),
        }
        for place in endpoints
    ]


def _endpoint(
    endpoint: Endpoint, release: Release | None, hold: Hold | None, entrance: Entrance
) -> dict[str, Any]:
    share = 0 if release is None else release.split_candidate
    route = endpoint.route
    return {
        "environment": route.environment,
        "model": route.model,
        "stable": version_of(endpoint.stable),
        "previous": version_of(endpoint.previous),
        "candidate": None if release is None else release.version.version,
        "split": {"stable": 100 - share, "candidate": share},
        "url": entrance.url,
        "headers": dict(entrance.headers),
        "hold": None if hold is None else of_hold(hold),
    }


def _baseline(endpoint: Endpoint, at: datetime) -> dict[str, Any] | None:
    """What stable does; None when nobody knows."""
    found = baseline_of(endpoint, at)
    if found is None:
        return None
    return {
        "at": moment(datetime.fromtimestamp(found.at, UTC)),
        "seconds": found.seconds,
        "requests_per_second": found.requests_per_second,
        "error_rate": found.error_rate,
        "requests": found.requests,
        "errors": found.errors,
        "self_test": None if found.self_test is None else of_self_test(found.self_test),
    }


def of_self_test(test: SelfTest) -> dict[str, Any]:
    """Stable against itself."""
    return asdict(test)


def of_hold(hold: Hold) -> dict[str, Any]:
    """Why a version may not be released to its endpoint."""
    return {
        "version": hold.version.version,
        "reason": hold.reason,
        "placed_at": moment(hold.placed_at),
        "placed_by": hold.placed_by,
        "release": hold.release_id,
    }
