"""File a release: everything that can be said before validation is said here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from releases.domain.commit import Commit
from releases.domain.errors import Conflict, Invalid, NotFound
from releases.domain.judge.selftest import self_test
from releases.domain.plan import RolloutPlan
from releases.domain.release import ACTIVE, start
from releases.models import Endpoint, Environment, Hold, ModelVersion, Release
from releases.services import commit_statuses, document, find, history
from releases.services.baseline import baseline_of
from releases.services.commands import idempotency
from tenants import audit
from tenants.access import Actor
from tenants.roles import Capability

LONGEST_TEXT = 4_000


def file_release(
    actor: Actor,
    *,
    model: str,
    version: str,
    environment: str,
    plan: object = None,
    note: str = "",
    callback_url: str = "",
    commit: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    at: datetime,
) -> tuple[Release, bool]:
    """File a release; returns it and whether it is new.

    The same idempotency key with the same content answers with the release of the first time. Raises
    `Invalid`, `NotFound` (named in `fields`), or `Conflict` when another release is active there.
    """
    actor.require(Capability.REQUEST)
    content = {
        "model": model,
        "version": version,
        "environment": environment,
        "plan": plan,
        "note": note,
        "callback_url": callback_url,
        # Left out where there is none, so that keys from before there were commits still fit their content.
        **({"commit": dict(commit)} if commit else {}),
    }
    body_hash = idempotency.fingerprint(content)
    if known := idempotency.recall(actor, idempotency_key, body_hash, at):
        return known, False
    chosen, place, rollout, told = check_request(
        actor,
        model=model,
        version=version,
        environment=environment,
        plan=plan,
        note=note,
        callback_url=callback_url,
        commit=commit,
    )
    try:
        with transaction.atomic():
            endpoint = _endpoint(chosen, place)
            # The same request may have been filed while this one waited for the lock.
            if known := idempotency.recall(actor, idempotency_key, body_hash, at):
                return known, False
            _check_endpoint(endpoint, chosen, place)
            release = Release(
                tenant=actor.tenant,
                endpoint=endpoint,
                version=chosen,
                stable=endpoint.stable,
                plan=rollout.to_json(),
                plan_digest=rollout.digest,
                approvals_required=place.approvals_required,
                note=note,
                callback_url=callback_url,
                commit_repository=told.repository if told else "",
                commit_sha=told.sha if told else "",
                requested_by=actor.name,
                requested_by_identity=actor.identity,
                requested_at=at,
                next_wake_at=at,
                reason="filed; validation comes next",
                self_test=_self_test(endpoint, at),
            )
            release.set_state(start(at.timestamp()))
            release.save(force_insert=True)
            record_filing(actor, release, at)
            idempotency.remember(actor, idempotency_key, body_hash, release, at)
    except IntegrityError as error:
        # Another request was first: with the same key, or with a release of its own.
        if known := idempotency.recall(actor, idempotency_key, body_hash, at):
            return known, False
        raise _occupied(place, chosen) from error
    return release, True


def check_request(
    actor: Actor,
    *,
    model: str,
    version: str,
    environment: str,
    plan: object,
    note: str,
    callback_url: str,
    commit: Mapping[str, str] | None,
) -> tuple[ModelVersion, Environment, RolloutPlan, Commit | None]:
    """What a request asks for; raises `Invalid`, naming the fields, when it cannot be understood."""
    _check_texts(note, callback_url)
    chosen, place = _resolve(actor, model, version, environment)
    return chosen, place, place.plan(plan), _commit(actor, commit)


def _commit(actor: Actor, commit: Mapping[str, str] | None) -> Commit | None:
    """The commit to be told of the release; raises `Invalid` when it is none, or may not be told."""
    if not commit:
        return None
    told = Commit.parse(commit["repository"], commit["sha"])
    commit_statuses.check(actor.tenant, told)
    return told


def record_filing(actor: Actor, release: Release, at: datetime) -> None:
    """The first line of the history, and the audit."""
    history.append(release, from_phase="", reason=f"filed by {actor.name}", actor=actor.name, at=at)
    audit.record(
        actor.tenant,
        at=at,
        actor=actor.name,
        action="release.filed",
        subject=release.pk,
        detail={"version": str(release.version), "environment": release.endpoint.environment.name},
        request_id=actor.request_id,
    )


def _check_texts(note: str, callback_url: str) -> None:
    if len(note) > LONGEST_TEXT:
        raise Invalid("The note is too long.", fields={"note": [f"at most {LONGEST_TEXT} characters"]})
    if not callback_url:
        return
    try:
        parts = urlsplit(callback_url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and len(callback_url) <= 500
    except ValueError:
        fits = False
    if not fits:
        message = "has to be an http or https address of at most 500 characters"
        raise Invalid(f"callback_url {message}", fields={"callback_url": [message]})


def _resolve(actor: Actor, model: str, version: str, environment: str) -> tuple[ModelVersion, Environment]:
    """Look all three up and say everything that is unknown at once."""
    fields: dict[str, list[str]] = {}
    chosen: ModelVersion | None = None
    place: Environment | None = None
    try:
        chosen = find.version(actor, of := find.model(actor, model), version)
        chosen.model = of
    except NotFound as error:
        text = str(error)
        fields["version" if "version" in text else "model"] = [text]
    try:
        place = find.environment(actor, environment)
    except NotFound as error:
        fields["environment"] = [str(error)]
    if chosen is None or place is None:
        raise Invalid(" ".join(text for texts in fields.values() for text in texts), fields=fields)
    return chosen, place


def _endpoint(version: ModelVersion, place: Environment) -> Endpoint:
    endpoint, _ = Endpoint.objects.get_or_create(
        environment=place, model=version.model, defaults={"tenant": place.tenant}
    )
    return (
        Endpoint.objects.select_for_update(of=("self",))
        .select_related("tenant", "environment", "model", "stable")
        .get(pk=endpoint.pk)
    )


def _self_test(endpoint: Endpoint, at: datetime) -> dict[str, Any]:
    """What stable against itself gives at this moment: how far the judge's promise will carry."""
    found = baseline_of(endpoint, at)
    if found is None:
        return {}
    return {"at": document.moment(at), **document.of_self_test(self_test(found.increments))}


def _check_endpoint(endpoint: Endpoint, version: ModelVersion, place: Environment) -> None:
    if Release.objects.filter(endpoint=endpoint, phase__in=ACTIVE).exists():
        raise _occupied(place, version)
    if endpoint.stable_id == version.pk:
        message = f"{version} is stable in {place.name} already"
        raise Conflict(message, code="already_stable")
    hold = Hold.objects.filter(endpoint=endpoint, version=version, lifted_at__isnull=True).first()
    if hold is not None:
        message = f"{version} is on hold in {place.name}: {hold.reason}. Lift the hold first."
        raise Conflict(message, code="on_hold", state={"hold": hold.reason, "placed_by": hold.placed_by})


def _occupied(place: Environment, version: ModelVersion) -> Conflict:
    active = (
        Release.objects.select_related("version__model")
        .filter(endpoint__environment=place, endpoint__model=version.model, phase__in=ACTIVE)
        .first()
    )
    if active is None:
        return Conflict("Another request was faster; try again.", code="try_again")
    return Conflict(
        f"{active.version} is being released to {place.name} ({active.phase}); wait for its end or abort it.",
        code="release_active",
        state={"release": active.pk, "phase": active.phase, "version": active.version.version},
    )
